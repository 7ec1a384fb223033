"""The shapes in which people drive one engine, by the same plan and seeds.

Four functions make the same rows from the same engine object:

* `ours`: rollouts, gates and journal, from nothing to the wanted rows;
* `limit`: the requests that ours completed, handed over at once, stage by stage, the prompts of
  responses and later turns known in advance. No schedule can have this; it is what to measure by;
* `official`: the loop of the official scripts. All instructions, so many a call, each call drained
  before the next; then all responses in the same way; then the next turn's. (Their call asks for n
  samples of one prompt; here it is n requests, so that every row has its own seed.)
* `distilabel`: a step of that library. A call of instructions, drained, a call of their responses,
  drained, turn after turn; then the next batch.

The peers answer every instruction, as they do; which rows the gates would have kept is asked when
the clock has stopped. Prompts are token ids everywhere: this compares schedules, and `peers.py`
what people run.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measured import Made, Place, Run, Watched
from magpie_hub.chat.format import ChatFormat
from magpie_hub.engines.base import Completion, Sampling
from magpie_hub.gates.base import Message, Role
from magpie_hub.gates.registry import GateSet, first_reason
from magpie_hub.generate.plan import Plan, stage_seed
from magpie_hub.generate.rollout import Rollouts, read_instruction, read_response
from magpie_hub.generate.scheduler import run_rollouts
from magpie_hub.generate.tracker import PrefixTracker
from magpie_hub.store.journal import Journal
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStore, digest


class Job(NamedTuple):
    """What is to be made: a plan, and how its words are read and judged."""

    plan: Plan
    chat: ChatFormat
    gates: GateSet
    turns: int


def places(job: Job) -> Iterator[tuple[int, Place]]:
    """Every seed that a request can have, and whose it is."""
    for row_id in itertools.count():
        seed = job.plan.row(row_id).seed
        for turn in range(1, job.turns + 1):
            yield stage_seed(seed, "instruct", turn), Place(row_id, turn, 0)
            yield stage_seed(seed, "respond", turn), Place(row_id, turn, 1)


async def ours(watched: Watched, job: Job, rows: int, folder: Path) -> Made:
    """Rollouts, gates and journal until so many rows pass."""
    with opened(folder, job) as row_store:
        pending = PendingTurns(row_store)
        rollouts = Rollouts(job.plan, job.chat, watched, job.gates, pending)
        tracker = PrefixTracker(row_store, rows)
        watched.in_flight = lambda: tracker.in_flight
        await run_rollouts(tracker, rollouts, pending, watched)

    def passed() -> int:
        with opened(folder, job) as row_store:
            return sum(status.passed for status in row_store.statuses())

    return Made(rollouts.finished, passed)


@contextmanager
def opened(folder: Path, job: Job) -> Iterator[RowStore]:
    """The rows of a folder's journals."""
    with ExitStack() as stack:
        names = ("first.db", "later.db")[: min(2, job.turns)]
        first, *later = [stack.enter_context(Journal(folder / name)) for name in names]
        yield RowStore(first, later[0] if later else None, job.turns)


async def limit(watched: Watched, run: Run) -> Made:
    """The requests of a run of ours, all at once."""
    watched.in_flight = lambda: watched.flying
    by_stage = sorted(run.watched.requests, key=lambda r: (r.place.turn, r.place.side, r.place))
    await asyncio.gather(*(watched.generate(r.prompt, r.sampling) for r in by_stage))
    return Made(round(run.figures["rows"] or 0), lambda: round(run.figures["kept"] or 0))


async def official(watched: Watched, job: Job, rows: int, batch: int) -> Made:
    """Stage after stage, `batch` rows a call."""
    peers = [PeerRow(watched, job, row_id) for row_id in range(rows)]
    for _ in range(job.turns):
        for step in (PeerRow.ask, PeerRow.answer):
            for call in batches(peers, batch):
                await asyncio.gather(*(step(row) for row in call))
    return Made(rows, lambda: kept(peers, job))


async def distilabel(watched: Watched, job: Job, rows: int, batch: int) -> Made:
    """Batch after batch, `batch` rows a call."""
    peers = [PeerRow(watched, job, row_id) for row_id in range(rows)]
    for call in batches(peers, batch):
        for _ in range(job.turns):
            for step in (PeerRow.ask, PeerRow.answer):
                await asyncio.gather(*(step(row) for row in call))
    return Made(rows, lambda: kept(peers, job))


class PeerRow:
    """A row as the peers make it: whatever the model writes is answered.

    Attributes:
        words: What was written, side after side.
    """

    def __init__(self, watched: Watched, job: Job, row_id: int) -> None:
        self.words: list[Message] = []
        self._watched, self._job, self._row = watched, job, job.plan.row(row_id)

    async def ask(self) -> None:
        """Writes the next user words."""
        job, turns = self._job, self._turns
        turn = len(turns) + 1
        system = self._row.system.text if self._row.system else None
        if turn > 1:
            system = job.plan.recipe.later_turns.system
        prompt = job.chat.query_prompt(turns, system)
        made = await self._complete(prompt, job.plan.instruct(self._row, turn, job.chat.stop_ids))
        self.words.append(read_instruction(job.chat, turn, made))

    async def answer(self) -> None:
        """Answers them."""
        job, turns = self._job, self._turns
        turn = len(turns) + 1
        prompt = job.chat.answer_prompt(turns, self.words[-1].ids)
        made = await self._complete(prompt, job.plan.respond(self._row, turn, job.chat.stop_ids))
        self.words.append(read_response(job.chat, turn, made, self.words[-1].text))

    async def _complete(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        if len(prompt) >= self._watched.info.max_model_len:
            return Completion((), "length")
        return await self._watched.generate(prompt, sampling)

    @property
    def _turns(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        ids = [words.ids for words in self.words]
        return list(zip(ids[0::2], ids[1::2], strict=False))


def kept(rows: Sequence[PeerRow], job: Job) -> int:
    """How many rows the gates keep; of equal first instructions the first."""
    gates: dict[Role, Any] = {"user": job.gates.instruction, "assistant": job.gates.response}
    seen: set[bytes] = set()
    count = 0
    for row in rows:
        passed = not any(first_reason(gates[message.role], message) for message in row.words)
        mark = digest(row.words[0].text)
        count += passed and mark not in seen
        seen.add(mark)
    return count


def batches(rows: Sequence[PeerRow], size: int) -> Iterable[Sequence[PeerRow]]:
    """Rows by the call."""
    return (rows[start : start + size] for start in range(0, len(rows), size))
