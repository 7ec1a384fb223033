"""CPU time a row outside the engine: plan, prompts, gates, decoding of text, journal, scheduling.

    .venv/bin/python benchmarks/overhead.py [ROWS]

A scripted engine answers at once, with texts of a usual length, so that nearly all CPU time is
ours; what the scripted engine itself takes is measured alone and subtracted. Prints one JSON
object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from magpie_hub.book import Book
from magpie_hub.engine.base import Sampling
from magpie_hub.gates import build_gates
from magpie_hub.generate import Ledger, grow
from magpie_hub.journal import Journal
from magpie_hub.plan import Plan
from magpie_hub.recipe.model import Recipe
from magpie_hub.rollout import Rollouts
from tests.toy import WORDS, ToyChat, ToyEngine

RESPONSE_WORDS = 250


def script(role: str, prompt: object, sampling: Sampling) -> str | None:
    """Responses of a usual length; no two lines the same."""
    if role == "user":
        return None
    start = sampling.seed % 1009
    return " ".join(f"{WORDS[(start + n * n) % len(WORDS)]}{n}" for n in range(RESPONSE_WORDS))


async def alone(rows: int) -> float:
    """CPU seconds of the scripted engine by itself."""
    engine = ToyEngine(script, slots=256)
    begun = time.process_time()
    for row in range(rows):
        await engine.generate((257,), Sampling(10**6, seed=row))
        await engine.generate((258,), Sampling(10**6, seed=row))
    return time.process_time() - begun


def main() -> None:
    """Measures and prints."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    recipe = Recipe(name="bench", description="A benchmark.", model="toy/model", rows=rows)
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "first.db") as journal:
        book = Book(journal, None, 1)
        engine = ToyEngine(script, slots=256)
        rollouts = Rollouts(Plan(recipe), ToyChat(), engine, build_gates(), book)  # type: ignore[arg-type]
        begun = time.process_time()
        asyncio.run(grow(Ledger(book, rows), rollouts, engine))
        ours = time.process_time() - begun
        finished = sum(journal.counts(1).values())
    engine_only = asyncio.run(alone(finished))
    print(
        json.dumps(
            {
                "rows": finished,
                "milliseconds_a_row": round((ours - engine_only) / finished * 1e3, 3),
                "of_the_scripted_engine": round(engine_only / finished * 1e3, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
