"""The shapes in which people drive one engine, and what a run of one of them takes.

Four functions make the same rows, by the same plan and seeds, from the same engine object:

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
what people run. An engine serves no run from what an earlier one left in its prefix cache.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from magpie_hub.book import Book, digest
from magpie_hub.chat.format import ChatFormat
from magpie_hub.engine.base import Completion, Engine, Sampling
from magpie_hub.gates import GateSet, Role, first_reason
from magpie_hub.generate import Ledger, grow
from magpie_hub.journal import Journal
from magpie_hub.plan import Plan, stage_seed
from magpie_hub.rollout import Rollouts, Words, assistant_words, user_words


class Place(NamedTuple):
    """Where a request stands in the rows; sorts as a row is made.

    Attributes:
        row_id: The row.
        turn: From 1.
        side: 0 for the user's words, 1 for the assistant's.
    """

    row_id: int
    turn: int
    side: int


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was completed."""

    place: Place
    prompt: tuple[int, ...]
    sampling: Sampling
    completion: Completion

    @property
    def computed(self) -> int:
        """Prompt tokens that the prefix cache did not serve."""
        return len(self.prompt) - (self.completion.cached_tokens or 0)


class Job(NamedTuple):
    """What is to be made: a plan, and how its words are read and judged."""

    plan: Plan
    chat: ChatFormat
    gates: GateSet
    turns: int


class Watched:
    """An engine that notes what it was asked, and how full it was while rows were there to start.

    Attributes:
        requests: Those that were completed.
        cancelled: How many were not.
        ledger: Whose rows in flight tell when the last slots' worth of rows begins.
        full: The engine's counters at that moment.
    """

    def __init__(self, engine: Engine, job: Job) -> None:
        self.info, self.stats, self._engine = engine.info, engine.stats, engine
        self.requests: list[Request] = []
        self.cancelled = 0
        self.ledger: Ledger | None = None
        self.full: Counters | None = None
        self._ended = False
        self._places = places(job)
        self._known: dict[int, Place] = {}

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        """Passes a request on. Looks at the ledger here: a clock of its own would cost time."""
        if self.ledger is not None and not self._ended:
            if self.ledger.in_flight >= self.info.slots:
                self.full = Counters.of(self._engine)
            else:
                self._ended = self.full is not None
        try:
            made = await self._engine.generate(prompt, sampling)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.requests.append(Request(self._place(sampling.seed), tuple(prompt), sampling, made))
        return made

    def _place(self, seed: int) -> Place:
        while seed not in self._known:
            self._known.update([next(self._places)])
        return self._known[seed]

    async def rest(self) -> None:
        """Leaves the engine as it is."""

    async def wake(self) -> None:
        """Leaves the engine as it is."""

    async def close(self) -> None:
        """Leaves the engine to its owner."""


def places(job: Job) -> Iterator[tuple[int, Place]]:
    """Every seed that a request can have, and whose it is."""
    for row_id in itertools.count():
        seed = job.plan.row(row_id).seed
        for turn in range(1, job.turns + 1):
            yield stage_seed(seed, "instruct", turn), Place(row_id, turn, 0)
            yield stage_seed(seed, "respond", turn), Place(row_id, turn, 1)


class Counters(NamedTuple):
    """An engine's counters at one moment."""

    steps: int
    busy: int
    tokens: int

    @classmethod
    def of(cls, engine: Engine) -> Counters:
        """As they are now."""
        stats = engine.stats
        return cls(stats.steps or 0, stats.busy_slot_steps or 0, stats.decoded_tokens)

    def since(self, then: Counters) -> Counters:
        """What has come since."""
        return Counters(*(a - b for a, b in zip(self, then, strict=True)))


class Made(NamedTuple):
    """What a shape made.

    Attributes:
        rows: Rows that were finished.
        kept: Says how many of them the gates keep.
    """

    rows: int
    kept: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of a shape took.

    Attributes:
        figures: By name; seconds are of the wall clock unless the name says CPU.
        watched: What was asked.
    """

    figures: dict[str, float | None]
    watched: Watched


async def measure(engine: Engine, job: Job, shape: Callable[[Watched], Awaitable[Made]]) -> Run:
    """Runs a shape with nothing in the prefix cache, and counts."""
    watched, salted = Watched(engine, job), Salted.around(engine)
    forget_peak()
    before, wall, cpu, own = (
        Counters.of(engine),
        time.perf_counter(),
        time.process_time(),
        time.thread_time(),
    )
    made = await shape(watched)
    seconds, all_cpu, own_cpu = (
        time.perf_counter() - wall,
        time.process_time() - cpu,
        time.thread_time() - own,
    )
    spent, memory = Counters.of(engine).since(before), peak_megabytes()
    while engine.stats.running:  # what was cancelled leaves with the step that it is in
        await asyncio.sleep(0.01)
    salted()
    slots, kept = engine.info.slots, made.kept()
    until = watched.full.since(before) if watched.full else None
    return Run(
        {
            "seconds": seconds,
            "rows": made.rows,
            "kept": kept,
            "rows_a_second": made.rows / seconds,
            "kept_a_second": kept / seconds,
            "tokens": spent.tokens,
            "tokens_a_second": spent.tokens / seconds,
            "steps": spent.steps,
            "occupancy": spent.busy / max(1, spent.steps) / slots,
            "occupancy_until_the_last_rows": until and until.busy / max(1, until.steps) / slots,
            "requests": len(watched.requests),
            "requests_cancelled": watched.cancelled,
            **prompt_tokens(watched.requests),
            "cpu_seconds": all_cpu,
            "cpu_seconds_a_token": all_cpu / max(1, spent.tokens),
            "cpu_seconds_outside_the_engine": own_cpu,
            "peak_megabytes": memory,
        },
        watched,
    )


def prompt_tokens(requests: Sequence[Request]) -> dict[str, float | None]:
    """Prompt tokens, and those that were computed: of all, and of later turns by side."""
    sides = {
        "": requests,
        "later_": [request for request in requests if request.place.turn > 1],
        "later_user_": [r for r in requests if r.place.turn > 1 and r.place.side == 0],
        "later_assistant_": [r for r in requests if r.place.turn > 1 and r.place.side == 1],
    }
    found: dict[str, float | None] = {}
    for side, some in sides.items():
        total = sum(len(request.prompt) for request in some)
        found[f"{side}prompt_tokens"] = total
        computed = sum(request.computed for request in some)
        found[f"{side}prompt_tokens_computed"] = computed
        found[f"{side}prompt_share_computed"] = computed / total if total else None
    return found


async def ours(watched: Watched, job: Job, rows: int, folder: Path) -> Made:
    """Rollouts, gates and journal until so many rows pass."""
    with opened(folder, job) as book:
        rollouts = Rollouts(job.plan, job.chat, watched, job.gates, book)
        watched.ledger = Ledger(book, rows)
        await grow(watched.ledger, rollouts, watched)

    def passed() -> int:
        with opened(folder, job) as book:
            return sum(outcome.passed for outcome in book.outcomes())

    return Made(rollouts.finished, passed)


@contextmanager
def opened(folder: Path, job: Job) -> Iterator[Book]:
    """The rows of a folder's journals."""
    with ExitStack() as stack:
        names = ("first.db", "later.db")[: min(2, job.turns)]
        first, *later = [stack.enter_context(Journal(folder / name)) for name in names]
        yield Book(first, later[0] if later else None, job.turns)


async def limit(watched: Watched, run: Run) -> Made:
    """The requests of a run of ours, all at once."""
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
        self.words: list[Words] = []
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
        self.words.append(user_words(job.chat, turn, made))

    async def answer(self) -> None:
        """Answers them."""
        job, turns = self._job, self._turns
        turn = len(turns) + 1
        prompt = job.chat.answer_prompt(turns, self.words[-1].ids)
        made = await self._complete(prompt, job.plan.respond(self._row, turn, job.chat.stop_ids))
        self.words.append(assistant_words(job.chat, turn, made))

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
        reasons = (first_reason(gates[w.role], w.candidate(job.chat)) for w in row.words)
        passed = not any(reasons)
        mark = digest(row.words[0].text)
        count += passed and mark not in seen
        seen.add(mark)
    return count


def batches(rows: Sequence[PeerRow], size: int) -> Iterable[Sequence[PeerRow]]:
    """Rows by the call."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


class Salted:
    """A core of vLLM whose prompts bear a salt, by which no run is served what another left."""

    runs = itertools.count()

    def __init__(self, core: Any, salt: str) -> None:
        self._core, self._salt = core, salt

    async def complete(self, key: str, prompt: dict[str, Any], params: Any) -> Any:
        """Passes a request on, salted."""
        return await self._core.complete(key, {**prompt, "cache_salt": self._salt}, params)

    @classmethod
    def around(cls, engine: Any) -> Callable[[], None]:
        """Salts an engine's prompts until what is returned is called; others have no such core."""
        core = getattr(engine, "_core", None)
        if core is None:
            return lambda: None
        engine._core = cls(core, f"run {next(cls.runs)}")
        return lambda: setattr(engine, "_core", core)


def forget_peak() -> None:
    """Lets the kernel count this process's peak memory from here on (Linux)."""
    place = Path("/proc/self/clear_refs")
    if place.exists():
        place.write_text("5")


def peak_megabytes() -> float | None:
    """Peak memory since `forget_peak`; None where the kernel does not say."""
    place = Path("/proc/self/status")
    if not place.exists():
        return None
    line = next(line for line in place.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6
