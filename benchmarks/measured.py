"""One run on an engine, measured: what was asked of it, what came back, what it took.

Slots, steps and tokens are the engine's own counters; prompt tokens are counted request by request,
so that those of later turns can be told apart. No run is served what an earlier one left in the
engine's prefix cache.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from magpie_hub.engines.base import Completion, Engine, Sampling


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


class Watched:
    """An engine that notes what it was asked, and how full it was while rows were there to start.

    Args:
        engine: What answers.
        places: Every seed that a request can have, and whose it is.

    Attributes:
        requests: Those that were completed.
        cancelled: Where those stood that were not: their rows were not needed any more.
        in_flight: Says how many rows (or, where all is known in advance, requests) are begun or
            wait to be. The last slots' worth begins when they are fewer than the slots.
        flying: Requests handed over and not answered.
        full: The engine's counters at that moment.
    """

    def __init__(self, engine: Engine, places: Iterator[tuple[int, Place]]) -> None:
        self.info, self.stats, self._engine = engine.info, engine.stats, engine
        self.requests: list[Request] = []
        self.cancelled: list[Place] = []
        self.in_flight: Callable[[], int] | None = None
        self.flying = 0
        self.full: Counters | None = None
        self._ended = False
        self._places = places
        self._known: dict[int, Place] = {}

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        """Passes a request on. Looks how full it is here: a clock of its own would cost time."""
        self.flying += 1
        self._look()
        try:
            made = await self._engine.generate(prompt, sampling)
        except asyncio.CancelledError:
            self.cancelled.append(self._place(sampling.seed))
            raise
        finally:
            self.flying -= 1
        self._look()
        self.requests.append(Request(self._place(sampling.seed), tuple(prompt), sampling, made))
        return made

    def _look(self) -> None:
        if self.in_flight is None or self._ended:
            return
        if self.in_flight() >= self.info.slots:
            self.full = Counters.of(self._engine)
        else:
            self._ended = self.full is not None

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


class Counters(NamedTuple):
    """An engine's counters at one moment, and when that was, in seconds."""

    seconds: float
    steps: int
    busy: int
    tokens: int

    @classmethod
    def of(cls, engine: Engine) -> Counters:
        """As they are now."""
        stats = engine.stats
        return cls(
            time.perf_counter(), stats.steps or 0, stats.busy_slot_steps or 0, stats.decoded_tokens
        )

    def since(self, then: Counters) -> Counters:
        """What has come since."""
        return Counters(
            self.seconds - then.seconds,
            self.steps - then.steps,
            self.busy - then.busy,
            self.tokens - then.tokens,
        )


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


async def measure(
    engine: Engine,
    places: Iterator[tuple[int, Place]],
    shape: Callable[[Watched], Awaitable[Made]],
) -> Run:
    """Runs a shape with nothing in the prefix cache, and counts.

    Args:
        engine: Nobody else may be using it.
        places: See `Watched`.
        shape: Makes rows, by the engine that it is handed.
    """
    watched, salted = Watched(engine, places), Salted.around(engine)
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
            "seconds_a_row": seconds / max(1, made.rows),
            "steps_a_row": spent.steps / max(1, made.rows),
            "rows_a_second": made.rows / seconds,
            "kept_a_second": kept / seconds,
            "tokens": spent.tokens,
            "tokens_a_second": spent.tokens / seconds,
            "steps": spent.steps,
            "occupancy": spent.busy / max(1, spent.steps) / slots,
            "occupancy_until_the_last_rows": until and until.busy / max(1, until.steps) / slots,
            "steps_of_the_last_rows": until and spent.steps - until.steps,
            "tokens_a_second_until_the_last_rows": until and until.tokens / until.seconds,
            "requests": len(watched.requests),
            "requests_cancelled": len(watched.cancelled),
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


def median(values: Sequence[float]) -> float:
    """Rounded."""
    return round(statistics.median(values), 3)


def middle(runs: Sequence[Any]) -> Any:
    """Medians, figure by figure; what is no number is the first run's."""
    first = next((run for run in runs if run is not None), None)
    if isinstance(first, dict):
        return {key: middle([run.get(key) for run in runs]) for key in first}
    if isinstance(first, int | float) and not isinstance(first, bool):
        return median([run for run in runs if run is not None])
    return first
