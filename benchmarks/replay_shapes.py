"""Shapes of scheduling, each run over the very same rows: how many steps, and how full they are.

All have our gates, so that none pays for a response that another does not. What is not decoding
costs nothing in any: loading, tokenizing, files, gates, the calls themselves.

* bound: every slot busy in every step. No schedule beats it.
* at once: all requests known in advance, all stages in one queue, one stage behind the other.
* staged: the same, but a stage begins when the last one has ended.
* ours: `magpie_hub.generate.scheduler` itself, the ledger and the cap on rows in flight, with
  rollouts that do nothing but wait for the engine.
* official: calls of 200 prompts, each drained before the next; all first instructions, then all
  first responses, and so on (magpie-align's scripts, whose files lie between the stages).
* distilabel: its Magpie step. A batch of 50 rows goes through its stages one after another, a
  drained call for each; then the next batch.
* distilabel, two steps: a step for instructions and one for responses, each with one drained call
  of 50 at a time, batches handed on as they are done, both on one engine at once. It would take a
  server behind both; rows of one turn only, since turns live inside one step.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from benchmarks.replay_engine import ReplayEngine, replay
from benchmarks.replay_rows import Rows, prompts_of
from magpie_hub.generate.rollout import Rollouts
from magpie_hub.generate.scheduler import PrefixTracker, run_rollouts
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStatus, RowStore

OFFICIAL, DISTILABEL = 200, 50
"""Prompts a call."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a shape takes.

    Attributes:
        steps: Steps in which something runs.
        busy: Sum over them of the sequences that run.
        prompt_tokens: Prompt tokens, if nothing is cached.
    """

    steps: float
    busy: int
    prompt_tokens: int

    def time(self, constant: float, prefill: float = 0.0) -> float:
        """In sequence-steps: what one running sequence adds to a step.

        Args:
            constant: What a step costs before any sequence runs.
            prefill: What a prompt token costs that is not cached.
        """
        return constant * self.steps + self.busy + prefill * self.prompt_tokens


@dataclass(frozen=True, slots=True)
class Ours(Cost):
    """What our run took, beyond its cost.

    Attributes:
        occupancy_until_tail: Busy slots until all but the last slots' worth of rows are finished.
        most_in_flight: Rows in flight, at most.
        surplus: Of the busy slot-steps, those of rows that turned out not to be needed.
    """

    occupancy_until_tail: float | None
    most_in_flight: int
    surplus: int


class _Book:
    """Outcomes in memory, for the ledger: it asks for nothing else."""

    start, last = 0, -1  # nothing was there when it was opened

    def __init__(self) -> None:
        self.status: dict[int, RowStatus] = {}

    def statuses(self, first: int | None = None, end: int | None = None) -> Iterator[RowStatus]:
        """As `magpie_hub.store.rows.RowStore.statuses`."""
        for row_id in range(first or 0, len(self.status) if end is None else end):
            yield self.status.get(row_id) or RowStatus(row_id, False, None, 0)


class _Rollouts:
    """Rollouts that wait for the engine and do nothing else."""

    def __init__(self, rows: Rows, engine: ReplayEngine, row_store: _Book, slots: int) -> None:
        self._rows, self._engine, self._book = rows, engine, row_store
        self._tail = rows.count - slots
        self.in_flight = self.most_in_flight = self.finished = 0
        self.until_tail: float | None = None

    async def run(self, row_id: int) -> bool:
        """Lives a row's life."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        requests = self._rows.requests(row_id)
        for prompt, request in zip(prompts_of(requests), requests, strict=True):
            await self._engine.generate(prompt, request)
        passed = self._rows.passes(row_id)
        self._book.status[row_id] = RowStatus(row_id, True, None if passed else "gate", 0)
        self.in_flight -= 1
        self.finished += 1
        if self.finished == self._tail:
            self.until_tail = (self._engine.stats.busy_slot_steps or 0) / (
                self._engine.stats.steps or 1
            )
        return passed


def ours(rows: Rows, slots: int, *, told: int | None = None, delay: int = 0) -> Ours:
    """Our scheduling.

    Args:
        rows: The rows.
        slots: The engine's slots.
        told: Slots that the engine says it has.
        delay: Steps between a request's end and the caller's hearing of it.
    """
    engine, row_store = ReplayEngine(slots, told=told, delay=delay), _Book()
    rollouts = _Rollouts(rows, engine, row_store, slots)
    tracker = PrefixTracker(cast(RowStore, row_store), rows.wanted)
    pending = cast(PendingTurns, ())  # nothing to commit
    replay(engine, run_rollouts(tracker, cast(Rollouts, rollouts), pending, engine))
    assert tracker.settled == rows.count, "other rows were generated than in the other shapes"
    steps, busy = engine.stats.steps or 0, engine.stats.busy_slot_steps or 0
    until_tail = rollouts.until_tail
    return Ours(
        steps,
        busy,
        engine.stats.prompt_tokens,
        None if until_tail is None else until_tail / slots,
        rollouts.most_in_flight,
        busy - int(rows.steps.sum()),
    )


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


def two_steps(rows: Rows, slots: int, batch: int = DISTILABEL) -> Cost:
    """Drained calls of two steps side by side.

    Raises:
        ValueError: Two calls do not fit the slots, or rows are of several turns.
    """
    if 2 * batch > slots or rows.steps.shape[1] != 2:
        raise ValueError("two steps take rows of one turn, and slots for two calls")
    done = answered = 0
    instructions, responses = (calls(stage, batch, slots) for stage in rows.steps.T)
    for instruction, response in zip(instructions.tolist(), responses.tolist(), strict=True):
        done += instruction
        answered = max(done, answered) + response
    return _cost(rows, answered)


def _cost(rows: Rows, steps: Any) -> Cost:
    return Cost(float(steps), int(rows.steps.sum()), rows.prompt_tokens)


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
        return table.max(axis=1)
    return np.array([drain(call, slots) for call in table.tolist()], stage.dtype)
