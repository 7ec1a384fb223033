"""Our scheduling beside the engine's own limit: same engine object, same requests, interleaved.

    .venv/bin/python benchmarks/generate.py [--rows 96] [--slots 32] [--repeats 2] [--eager]

Ours: rollouts, gates and journal from nothing to the delivered rows. The limit: every request that
ours made, handed to the same engine at once, the responses' prompts known in advance. Occupancy is
busy slots over slots in each decode step: over the whole run, and while rows remain to be started,
which ends when fewer rows than slots are in flight for the first time. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from magpie_hub.book import Book
from magpie_hub.engine.base import Completion, Engine, Sampling
from magpie_hub.engine.choose import start_engine
from magpie_hub.gates import build_gates
from magpie_hub.generate import Ledger, grow
from magpie_hub.generator import engine_options, load_chat
from magpie_hub.home import home
from magpie_hub.job import open_recipe
from magpie_hub.journal import Journal
from magpie_hub.models import pin
from magpie_hub.plan import Plan
from magpie_hub.rollout import Rollouts


class Recorder:
    """An engine that remembers what it was asked."""

    def __init__(self, engine: Engine) -> None:
        self.info, self.stats, self._engine = engine.info, engine.stats, engine
        self.requests: list[tuple[tuple[int, ...], Sampling]] = []
        self.ledger: Ledger | None = None
        self.full: Figures | None = None
        self._ended = False

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        """Passes a request on. Looks at the ledger here: a clock of its own would cost time."""
        self.requests.append((tuple(prompt), sampling))
        if self.ledger is not None and not self._ended:
            if self.ledger.in_flight >= self.info.slots:
                self.full = Figures(self._engine)
            else:
                self._ended = self.full is not None
        return await self._engine.generate(prompt, sampling)

    async def rest(self) -> None:
        """Leaves the engine as it is."""

    async def wake(self) -> None:
        """Leaves the engine as it is."""

    async def close(self) -> None:
        """Leaves the engine to its owner."""


async def ours(engine: Engine, recipe: Any, chat: Any, folder: Path) -> dict[str, Any]:
    """One run of ours, from an empty journal."""
    recorder = Recorder(engine)
    with Journal(folder / "first.db") as journal:
        book = Book(journal, None, 1)
        rollouts = Rollouts(Plan(recipe), chat, recorder, build_gates(), book)
        before = Figures(engine)
        recorder.ledger = Ledger(book, recipe.rows)
        await grow(recorder.ledger, rollouts, recorder)
        figures = before.until_now()
    return {
        **figures,
        "requests": recorder.requests,
        "occupancy_while_rows_start": before.until(recorder.full)["occupancy"]
        if recorder.full
        else None,
    }


async def limit(engine: Engine, requests: list[tuple[tuple[int, ...], Sampling]]) -> dict[str, Any]:
    """The same requests, all at once."""
    before = Figures(engine)
    await asyncio.gather(*(engine.generate(*request) for request in requests))
    return before.until_now()


class Figures:
    """The engine's counters at one moment."""

    def __init__(self, engine: Engine) -> None:
        stats = engine.stats
        self._engine, self._begun, self._cpu = engine, time.perf_counter(), time.process_time()
        self.steps, self.busy = stats.steps or 0, stats.busy_slot_steps or 0
        self._tokens = stats.decoded_tokens

    def until_now(self) -> dict[str, Any]:
        """What has come since."""
        return self.until(Figures(self._engine))

    def until(self, now: Figures) -> dict[str, Any]:
        """What came between two moments."""
        seconds = now._begun - self._begun
        steps = now.steps - self.steps
        return {
            "seconds": seconds,
            "steps": steps,
            "tokens": now._tokens - self._tokens,
            "tokens_a_second": (now._tokens - self._tokens) / seconds,
            "occupancy": (now.busy - self.busy) / max(1, steps) / self._engine.info.slots,
        }


async def measure(rows: int, slots: int, repeats: int, eager: bool) -> dict[str, Any]:
    """Runs both, in turn."""
    knobs = {"rows": rows, "max_num_seqs": slots, "enforce_eager": eager}
    recipe = open_recipe("smol", knobs, {})
    source = pin(recipe.model)
    chat = load_chat(recipe, source, home())
    engine = await start_engine(
        source, engine_options(recipe), home(), say=lambda line: print(line, file=sys.stderr)
    )
    runs: list[tuple[dict[str, Any], dict[str, Any]]] = []
    try:
        # Kernels, allocator and caches warm up on requests that are not counted.
        await limit(engine, [(chat.pre_query, Sampling(64, seed=s)) for s in range(slots)])
        for repeat in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                seeded = recipe.model_copy(update={"seed": 1000 + repeat})
                mine = await ours(engine, seeded, chat, Path(folder))
            runs.append((mine, await limit(engine, mine.pop("requests"))))
            print(runs[-1], file=sys.stderr)
    finally:
        await engine.close()
    ratios = [mine["seconds"] / bound["seconds"] for mine, bound in runs]
    # Sampled tokens may differ a little between batch shapes; a token is what a second buys.
    a_token = [bound["tokens_a_second"] / mine["tokens_a_second"] for mine, bound in runs]
    return {
        "rows": rows,
        "slots": slots,
        "repeats": repeats,
        "compiled": not eager,
        "engine": f"{engine.info.name} {engine.info.version}",
        "ours": middle([mine for mine, _ in runs]),
        "limit": middle([bound for _, bound in runs]),
        "wall_time_ours_over_limit": round(statistics.median(ratios), 3),
        "time_a_token_ours_over_limit": round(statistics.median(a_token), 3),
    }


def middle(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Medians by figure."""
    return {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--eager", action="store_true")
    chosen = parser.parse_args()
    print(json.dumps(asyncio.run(measure(chosen.rows, chosen.slots, chosen.repeats, chosen.eager))))


if __name__ == "__main__":
    main()
