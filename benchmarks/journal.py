"""A journal of a million rows: how long it takes to open and resume, and in how much memory.

    .venv/bin/python benchmarks/journal.py [ROWS]

The rows are written with the package's own journal, at lengths of a usual single-turn set. A fresh
process then opens the book, settles every row and generates 1,000 more with a scripted engine.
Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from magpie_hub.book import Book, digest
from magpie_hub.gates import build_gates
from magpie_hub.generate import Ledger, grow
from magpie_hub.journal import Journal, TurnRecord
from magpie_hub.plan import Plan
from magpie_hub.recipe.model import Recipe
from magpie_hub.rollout import Rollouts
from tests.toy import ToyChat, ToyEngine

MORE = 1_000
REJECTED = 0.2


def fill(path: Path, rows: int) -> float:
    """Writes a journal; returns seconds."""
    draw = random.Random(0)
    words = [f"word{n}" for n in range(5_000)]
    response = " ".join(draw.choices(words, k=250))
    asked, answered = (tuple(draw.choices(range(128_000), k=k)) for k in (20, 350))
    begun = time.perf_counter()
    with Journal(path) as journal:
        for row in range(rows):
            instruction = f"What is {row} in {draw.choice(words)}?"
            rejected = draw.random() < REJECTED
            journal.put(
                TurnRecord(
                    row_id=row,
                    turn=1,
                    reason="instruction.colon" if rejected else None,
                    digest=None if rejected else digest(instruction),
                    instruction=instruction,
                    response=None if rejected else response,
                    instruction_finish="stop",
                    response_finish=None if rejected else "stop",
                    instruction_ids=asked,
                    response_ids=None if rejected else answered,
                )
            )
    return time.perf_counter() - begun


def resume(path: Path) -> dict[str, float]:
    """Opens the journal and generates `MORE` rows beyond what it holds."""
    recipe = Recipe(name="bench", description="A benchmark.", model="toy/model", rows=10**9)
    begun = time.perf_counter()
    with Journal(path) as journal:
        book = Book(journal, None, 1)
        ledger = Ledger(book, recipe.rows)
        opened = time.perf_counter() - begun
        ledger.wanted = ledger.passed + MORE
        engine = ToyEngine(slots=256)
        rollouts = Rollouts(Plan(recipe), ToyChat(), engine, build_gates(), book)  # type: ignore[arg-type]
        asyncio.run(grow(ledger, rollouts, engine))
    return {
        "rows": ledger.settled,
        "seconds_to_open": round(opened, 2),
        "seconds_with_1000_more_rows": round(time.perf_counter() - begun, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def main() -> None:
    """Fills a journal and resumes it in a process of its own."""
    if len(sys.argv) > 2:
        print(json.dumps(resume(Path(sys.argv[2]))))
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "first.db"
        written = fill(path, rows)
        size = path.stat().st_size
        found = subprocess.run(
            [sys.executable, __file__, "resume", str(path)], capture_output=True, check=True
        )
    result = {
        "microseconds_to_write_a_row": round(written / rows * 1e6, 1),
        "bytes_a_row": round(size / rows),
        **json.loads(found.stdout),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
