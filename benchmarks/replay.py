"""Scheduling of a hundred thousand rows: recorded lengths, replayed with a GPU's step costs.

    .venv/bin/python benchmarks/replay.py [--rows 100000] [--recordings DIR] [--delay 1] [--seed 0]

Draws the recorded rows (`benchmarks/recordings`, written by `benchmarks/generate.py --record`)
again and again and runs them in every shape of scheduling; and rows as long as those that an 8B
model is known to have written. A row's requests stay together, and a row that was rejected has as
few requests as it had then. All shapes have our gates, so that none pays for a response that
another does not; loading, tokenizing, files and the calls themselves cost nothing in any:

* bound: every slot busy in every step. No schedule beats it.
* at once: all requests known in advance, one stage behind the other.
* staged: the same, but a stage begins when the last one has ended.
* ours: `magpie_hub.generate.scheduler` itself, with rollouts that only wait for the engine.
* official: calls of 200 prompts, each drained before the next; all first instructions, then all
  first responses, and so on (magpie-align's scripts, whose files lie between the stages).
* distilabel: batches of 50 rows go through their stages one after another, a drained call for each.

A decode step costs what 64, 128 or 256 running sequences cost, and one more for each that runs. Why
that much: an 8B model in bf16 on an H100 reads 16 GB of weights a step, 4.8 ms at 3.35 TB/s; a
sequence reads its keys and values (600 tokens of 131 KB: 24 us) and computes 16 GFLOP (23 us at 700
TFLOP/s), so a step's constant is 100 to 200 sequences. Prompts are left out, since every shape has
the same. Our callers hear of a request's end `--delay` steps late, as from a real engine; for the
other shapes an answer takes no time. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.replay_engine import ReplayEngine, replay, slot_steps
from magpie_hub.engines.base import Sampling
from magpie_hub.errors import UserError
from magpie_hub.generate.rollout import Rollouts
from magpie_hub.generate.scheduler import run_rollouts
from magpie_hub.generate.tracker import PrefixTracker
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStatus, RowStore

SLOTS = (256, 512, 1024, 2048)
CONSTANTS = (64, 128, 256)
RECORDINGS = ("smol", "smol-mt")
USUAL_SLOTS = 512
"""Where one setting stands for all."""

OFFICIAL, DISTILABEL = 200, 50
"""Prompts a call."""

TARGETS = {"official": 1.4, "distilabel": 3.0, "ours": 1.03}
"""At the usual slots: times of the two over ours, at least; ours over the bound, at most."""

AIR, LIMIT = (426.39, 217.39), 4096
"""Tokens a turn, mean and standard deviation (Table 4 of arXiv 2406.08464v2); tokens at most."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Lengths of a real run.

    Attributes:
        name: The file's name, without its ending.
        model: What wrote them.
        engine: On what.
        turns: Turns of a whole conversation.
        slots: Slots of the engine.
        rows: Decoded tokens of each request of a row, in order; stop tokens not counted. A row that
            was rejected on the way has fewer.
        steps: Decode steps of our run; None where nothing ran.
        limit_steps: Decode steps of the run in which the engine had all requests at once.
    """

    name: str
    model: str
    engine: str
    turns: int
    slots: int
    rows: tuple[tuple[int, ...], ...]
    steps: int | None
    limit_steps: int | None

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Reads the JSON that `benchmarks/generate.py --record` writes."""
        told = json.loads(path.read_text())
        told["rows"] = tuple(map(tuple, told["rows"]))
        keys = ("model", "engine", "turns", "slots", "rows", "steps", "limit_steps")
        return cls(path.stem, *(told[key] for key in keys))

    @property
    def limits(self) -> tuple[int, int]:
        """The longest instruction and the longest response, in tokens."""
        instruction, response = (
            max((tokens for row in self.rows for tokens in row[side::2]), default=0)
            for side in (0, 1)
        )
        return instruction, response

    @classmethod
    def published(cls, seed: int = 0) -> Recording:
        """Rows as long as those of Llama-3-Magpie-Air, which no small model writes.

        Of these lengths only a mean and a deviation are published (`AIR`). A turn's tokens are
        drawn from the lognormal distribution that has them; an eighth of them is the instruction,
        no row is rejected, and nothing is longer than the official scripts' limit.
        """
        mean, deviation = AIR
        spread = math.log1p((deviation / mean) ** 2)
        centre = math.log(mean) - spread / 2
        drawn = np.random.default_rng(seed).lognormal(centre, math.sqrt(spread), 10_000)
        turns = np.clip(drawn, 8, LIMIT).astype(int).tolist()
        rows = tuple((tokens // 8, tokens - tokens // 8) for tokens in turns)
        return cls("air", "Llama-3-8B-Instruct", "nothing", 1, 0, rows, None, None)


class Rows:
    """Rows to replay.

    A recording does not say why a request ended. One that is as long as the longest of its side
    counts as cut off by the limit, every other as ended by a stop token.

    Args:
        recording: Where they come from.
        picks: Which recorded row each row is; after the last they begin again.
        count: Rows that are needed, at most: the last of them is the last that passes.

    Attributes:
        count: Rows that are needed.
        wanted: Of these, the rows that pass.
        steps: Slot-steps of each request, shape (count, 2 x turns); 0 where a row has none.
    """

    def __init__(self, recording: Recording, picks: Sequence[int], count: int) -> None:
        self._whole, self._picks = 2 * recording.turns, list(picks)
        limits = recording.limits
        self._requests = [
            tuple(
                Sampling(tokens, stop_ids=(0,) if tokens < limits[place % 2] else ())
                for place, tokens in enumerate(row)
            )
            for row in recording.rows
        ]
        passing = [self.passes(row_id) for row_id in range(count)]
        if True not in passing:
            raise UserError(f"{recording.name}: no recorded row is whole; record more rows")
        self.count = len(passing) - passing[::-1].index(True)
        self.wanted = sum(passing)
        steps = np.zeros((len(recording.rows), self._whole), np.int64)
        for index, requests in enumerate(self._requests):
            steps[index, : len(requests)] = [slot_steps(request) for request in requests]
        self.steps = steps[self._picks[: self.count]]

    @classmethod
    def drawn(cls, recording: Recording, count: int, seed: int = 0) -> Rows:
        """Draws rows, and some more than are needed for those who start too many."""
        picks = np.random.default_rng(seed).integers(len(recording.rows), size=count + 10_000)
        return cls(recording, picks.tolist(), count)

    @classmethod
    def recorded(cls, recording: Recording) -> Rows:
        """The rows as they were."""
        return cls(recording, range(len(recording.rows)), len(recording.rows))

    def requests(self, row_id: int) -> tuple[Sampling, ...]:
        """A row's requests, in order."""
        return self._requests[self._picks[row_id % len(self._picks)]]

    def passes(self, row_id: int) -> bool:
        """Whether a row has all its requests."""
        return len(self.requests(row_id)) == self._whole


@dataclass(frozen=True, slots=True)
class Cost:
    """What a shape takes.

    Attributes:
        steps: Steps in which something runs.
        busy: Sum over them of the sequences that run.
        occupancy_until_tail: Of ours: busy slots until all but the last slots' worth of rows are
            finished.
        surplus: Of ours: the busy slot-steps of rows that turned out not to be needed.
    """

    steps: float
    busy: int
    occupancy_until_tail: float | None = None
    surplus: int = 0

    def time(self, constant: float) -> float:
        """In sequence-steps, where a step costs `constant` before any sequence runs."""
        return constant * self.steps + self.busy


class _Statuses:
    """Statuses of rows in memory: all that `PrefixTracker` asks of a row store."""

    start, last = 0, -1  # nothing was there when it was opened

    def __init__(self) -> None:
        self.status: dict[int, RowStatus] = {}

    def statuses(self, first: int | None = None, end: int | None = None) -> Iterator[RowStatus]:
        """As `magpie_hub.store.rows.RowStore.statuses`."""
        for row_id in range(first or 0, len(self.status) if end is None else end):
            yield self.status.get(row_id) or RowStatus(row_id, False, None, 0)


class _NothingPending:
    """Turns that wait for a commit: none."""

    def __len__(self) -> int:
        return 0

    def commit(self) -> None:
        """Has nothing to commit."""


class _Rollouts:
    """Rollouts that wait for the engine and do nothing else."""

    def __init__(self, rows: Rows, engine: ReplayEngine, statuses: _Statuses, slots: int) -> None:
        self._rows, self._engine, self._statuses = rows, engine, statuses
        self._tail = rows.count - slots
        self.finished = 0
        self.until_tail: float | None = None

    async def run(self, row_id: int) -> bool:
        """Waits for a row's requests, one after another."""
        for request in self._rows.requests(row_id):
            await self._engine.generate((), request)
        passed = self._rows.passes(row_id)
        self._statuses.status[row_id] = RowStatus(row_id, True, None if passed else "gate", 0)
        self.finished += 1
        if self.finished == self._tail:
            stats = self._engine.stats
            self.until_tail = (stats.busy_slot_steps or 0) / (stats.steps or 1)
        return passed


def ours(rows: Rows, slots: int, *, delay: int = 0) -> Cost:
    """Our scheduling; `delay` steps pass between a request's end and the caller's hearing of it."""
    engine, statuses = ReplayEngine(slots, delay=delay), _Statuses()
    rollouts = _Rollouts(rows, engine, statuses, slots)
    tracker = PrefixTracker(cast(RowStore, statuses), rows.wanted)
    pending = cast(PendingTurns, _NothingPending())
    replay(engine, run_rollouts(tracker, cast(Rollouts, rollouts), pending, engine))
    if tracker.settled != rows.count:
        raise RuntimeError("other rows were generated than in the other shapes")
    steps, busy = engine.stats.steps or 0, engine.stats.busy_slot_steps or 0
    until_tail = None if rollouts.until_tail is None else rollouts.until_tail / slots
    return Cost(steps, busy, until_tail, busy - int(rows.steps.sum()))


def bound(rows: Rows, slots: int) -> Cost:
    """Full slots, from the first step to the last."""
    return _cost(rows, rows.steps.sum() / slots)


def at_once(rows: Rows, slots: int) -> Cost:
    """Every request known in advance."""
    by_stage = rows.steps.T
    return _cost(rows, drain(by_stage[by_stage > 0].tolist(), slots))


def staged(rows: Rows, slots: int) -> Cost:
    """Every request of a stage known in advance."""
    return _cost(rows, sum(drain(stage[stage > 0].tolist(), slots) for stage in rows.steps.T))


def official(rows: Rows, slots: int, batch: int = OFFICIAL) -> Cost:
    """Drained calls, stage after stage."""
    return _cost(rows, sum(calls(stage[stage > 0], batch, slots).sum() for stage in rows.steps.T))


def distilabel(rows: Rows, slots: int, batch: int = DISTILABEL) -> Cost:
    """Drained calls, batch after batch."""
    return _cost(rows, sum(calls(stage, batch, slots).sum() for stage in rows.steps.T))


def _cost(rows: Rows, steps: Any) -> Cost:
    return Cost(float(steps), int(rows.steps.sum()))


def drain(lengths: Sequence[int], slots: int) -> int:
    """Steps until all are done, if all wait from the first step on and go in as slots get free."""
    free = [0] * slots
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    return max(free)


def calls(stage: np.ndarray[Any, Any], batch: int, slots: int) -> np.ndarray[Any, Any]:
    """Steps of each drained call over a stage's lengths, `batch` of them a call."""
    padded = np.zeros(-(-len(stage) // batch) * batch, stage.dtype)
    padded[: len(stage)] = stage
    table = padded.reshape(-1, batch)
    if batch <= slots:
        return np.max(table, axis=1)
    return np.array([drain(call, slots) for call in table.tolist()], stage.dtype)


def compare(rows: Rows, slots: int, delay: int) -> dict[str, Any]:
    """Every shape over the same rows."""
    mine = ours(rows, slots, delay=delay)
    costs = {"ours": mine}
    for shape in (bound, at_once, staged, official, distilabel):
        costs[shape.__name__] = shape(rows, slots)

    def over(base: str) -> dict[str, dict[str, float]]:
        """Times of all shapes over one's, by a step's constant."""
        return {
            str(constant): {
                name: round(cost.time(constant) / costs[base].time(constant), 4)
                for name, cost in costs.items()
            }
            for constant in CONSTANTS
        }

    shapes = {
        name: {
            "steps": round(cost.steps),
            "occupancy": round(cost.busy / cost.steps / slots, 4),
            "running": round(cost.busy / cost.steps, 1),
        }
        for name, cost in costs.items()
    }
    until_tail = mine.occupancy_until_tail
    return {
        "shapes": shapes,
        "ours": {
            "busy": mine.busy,
            "surplus": mine.surplus,
            "occupancy_until_tail": None if until_tail is None else round(until_tail, 4),
        },
        "over_ours": over("ours"),
        "over_bound": over("bound"),
    }


def agreement(recording: Recording, delay: int) -> dict[str, Any] | None:
    """Steps replayed with the recorded rows and slots, beside the steps that were recorded."""
    if recording.steps is None or recording.limit_steps is None:
        return None
    rows, slots = Rows.recorded(recording), recording.slots
    pairs = {
        "ours": (recording.steps, ours(rows, slots, delay=delay)),
        "all at once": (recording.limit_steps, at_once(rows, slots)),
    }
    return {
        name: {"recorded": recorded, "replayed": round(cost.steps)}
        for name, (recorded, cost) in pairs.items()
    }


def measure(recording: Recording, count: int, delay: int, seed: int) -> dict[str, Any]:
    """Everything about one recording."""
    rows = Rows.drawn(recording, count, seed)
    slots = {}
    for number in SLOTS:
        slots[str(number)] = compare(rows, number, delay)
        print(recording.name, number, slots[str(number)], file=sys.stderr, flush=True)
    flat = [tokens for row in recording.rows for tokens in row]
    return {
        "model": recording.model,
        "engine": recording.engine,
        "turns": recording.turns,
        "recorded_slots": recording.slots,
        "recorded_rows": len(recording.rows),
        "mean_tokens": round(sum(flat) / len(flat), 1),
        "most_tokens": max(flat),
        "rows": rows.count,
        "rows_that_pass": rows.wanted,
        "requests": int((rows.steps > 0).sum()),
        "agreement": agreement(recording, delay),
        "slots": slots,
    }


def section(found: dict[str, Any]) -> str:
    """The report's part, as Markdown."""
    late = "1 step" if found["delay"] == 1 else f"{found['delay']} steps"
    return f"""## Scheduling, replayed

`benchmarks/replay.py --rows {found["rows"]}`: recorded lengths, drawn row by row with replacement,
in every shape of scheduling over the very same rows. A decode step costs what 64, 128 or 256
running sequences cost, and one more for each that runs; our callers hear of a request's end
{late} late. *Ours* is the code that runs everywhere else, driving rollouts that
only wait. The *bound* is full slots from the first step to the last; *staged* knows all requests of
a stage in advance. *Official*: {OFFICIAL} prompts a call, drained, stage after stage. *distilabel*:
batches of {DISTILABEL} rows, drained, stage after stage. Loading, files and calls cost them nothing
here, and every shape has our gates, so that none pays for a response that we do not.

""" + "\n".join(map(_part, found["recordings"]))


def _part(part: dict[str, Any]) -> str:
    """One recording's part."""
    tokens = f"{part['mean_tokens']} tokens a request, {part['most_tokens']} at most"
    if part["agreement"] is None:
        title = "Lengths of Llama-3-Magpie-Air"
        origin = (
            "Not recorded: turns drawn from the lognormal distribution with the published mean\n"
            f"and deviation, an eighth of each the instruction, no rejects ({tokens})."
        )
        agreed = ""
    else:
        title = "1 turn" if part["turns"] == 1 else f"{part['turns']} turns"
        origin = (
            f"Recorded: {part['recorded_rows']} rows that {part['model']} wrote in "
            f"{part['engine']}\n({tokens}); {part['rows_that_pass'] / part['rows']:.1%} of them "
            "pass."
        )
        pairs = "; ".join(
            f"{name} {pair['replayed']:,} steps, recorded {pair['recorded']:,}"
            for name, pair in part["agreement"].items()
        )
        agreed = (
            f"The replay beside the real engine, with the recorded rows at their "
            f"{part['recorded_slots']} slots:\n{pairs}.\n"
        )
    lines = [
        "| slots | a step's constant | ours over the bound | staged over the bound "
        "| official over ours | distilabel over ours | our occupancy | until the tail "
        "| official's | distilabel's |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for slots, run in part["slots"].items():
        full = {name: f"{shape['occupancy']:.1%}" for name, shape in run["shapes"].items()}
        tail = run["ours"]["occupancy_until_tail"]
        for constant, over in run["over_ours"].items():
            of_bound = run["over_bound"][constant]
            lines.append(
                f"| {slots} | {constant} | {of_bound['ours']:.3f} | {of_bound['staged']:.3f} "
                f"| {over['official']:.2f} | {over['distilabel']:.2f} | {full['ours']} "
                f"| {'-' if tail is None else f'{tail:.2%}'} | {full['official']} "
                f"| {full['distilabel']} |"
            )
    usual = part["slots"][str(USUAL_SLOTS)]
    worst = {
        name: min(over[name] for over in usual["over_ours"].values())
        for name in ("official", "distilabel")
    }
    above = max(over["ours"] for over in usual["over_bound"].values())
    running = {name: round(shape["running"]) for name, shape in usual["shapes"].items()}
    said = ", ".join(
        f"{name} {least:.2f} times ours at least (target {TARGETS[name]}: "
        f"{'met' if least >= TARGETS[name] else 'not met'})"
        for name, least in worst.items()
    )
    surplus = usual["ours"]["surplus"] / usual["ours"]["busy"]
    return f"""### {title}

{origin}
{part["rows"]:,} rows, {part["requests"]:,} requests.

{chr(10).join(lines)}

At {USUAL_SLOTS} slots: {said};
ours over the bound by {above - 1:.1%} at most (target {TARGETS["ours"] - 1:.0%}:
{"met" if above <= TARGETS["ours"] else "not met"}). A call that drains keeps few sequences running:
{running["official"]} on average in the official loop, {running["distilabel"]} in distilabel,
{running["ours"]} in ours. Of our busy slot-steps {surplus:.2%} went into rows that turned out not
to be needed; they stay in the journal.
{agreed}"""


def main() -> None:
    """Replays and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    recordings = Path(__file__).resolve().parent / "recordings"
    parser.add_argument("--recordings", type=Path, default=recordings)
    parser.add_argument("--delay", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    files = [chosen.recordings / f"{name}.json" for name in RECORDINGS]
    for file in files:
        if not file.exists():
            parser.error(f"{file} is not there: write it with benchmarks/generate.py --record")
    every = [*map(Recording.read, files), Recording.published()]
    measured = [measure(one, chosen.rows, chosen.delay, chosen.seed) for one in every]
    print(json.dumps({"rows": chosen.rows, "delay": chosen.delay, "recordings": measured}))


if __name__ == "__main__":
    main()
