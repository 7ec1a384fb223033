"""An engine of recorded lengths: it decodes nothing, and counts the steps that a GPU would take.

All running sequences take a step together, each with one token, as in vLLM. A request decodes
exactly `max_tokens` tokens, a slot-step each, and one more if it has a stop id to end on. Waiting
requests are taken first in, first out. The clock counts steps and jumps from one request's end to
the next, so a run costs by its requests and not by its steps.

Virtual time goes on only when nothing else can: `replay` runs a coroutine in a loop whose selector
moves the clock. A loop asks its selector to wait exactly when every callback that was ready has
had its turn, however many hops an answer takes to become the next request.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from magpie_hub.engines.base import Completion, EngineInfo, EngineStats, Sampling

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Request:
    sampling: Sampling
    future: asyncio.Future[Completion]
    running: bool = False


def slot_steps(sampling: Sampling) -> int:
    """Steps for which a request holds its slot."""
    return sampling.max_tokens + bool(sampling.stop_ids)


def _completion(sampling: Sampling) -> Completion:
    ids = (0,) * sampling.max_tokens
    if sampling.stop_ids:
        return Completion(ids, "stop", sampling.stop_ids[0])
    return Completion(ids, "length")


class ReplayEngine:
    """Slots and a clock.

    Args:
        slots: Sequences that run at once.
        delay: Steps that pass between a request's end and the moment when its caller hears of it.
            A real engine takes the next step meanwhile; 0 is an engine that waits for its callers.

    Attributes:
        info: What it says of itself.
        stats: Its counters. A step in which nothing runs is none.
        now: The clock, in steps.
    """

    def __init__(self, slots: int, *, delay: int = 0) -> None:
        self.info = EngineInfo("replay", "1", "none", "none", slots, 2**31)
        self.stats = EngineStats(steps=0, busy_slot_steps=0, running=0)
        self.now = 0
        self._slots, self._delay = slots, delay
        self._begun = self._running = 0
        self._waiting: deque[_Request] = deque()
        # By step, then in the order in which they began.
        self._ends: list[tuple[int, int, _Request]] = []
        self._answers: deque[tuple[int, _Request]] = deque()

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        """Waits for its turn and decodes."""
        request = _Request(sampling, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        try:
            return await request.future
        except asyncio.CancelledError:
            if request.running:
                request.running = False
                self._running -= 1
            raise

    @property
    def has_work(self) -> bool:
        """Whether a request runs or waits, or an answer is on its way."""
        return bool(self._running or self._answers) or any(
            not request.future.done() for request in self._waiting
        )

    def advance(self) -> None:
        """Goes on to the next moment at which a request ends or a caller hears of it.

        Raises:
            RuntimeError: No request runs: a waiting caller would wait for ever.
        """
        while self._waiting and self._running < self._slots:
            request = self._waiting.popleft()
            if not request.future.done():
                self._begin(request)
        while self._ends and not self._ends[0][2].running:
            heapq.heappop(self._ends)
        moments = [queue[0][0] for queue in (self._ends, self._answers) if queue]
        if not moments:
            raise RuntimeError("no request runs, so no caller can continue")
        self._go_to(min(moments))
        while self._ends and self._ends[0][0] == self.now:
            request = heapq.heappop(self._ends)[2]
            if request.running:
                request.running = False
                self._running -= 1
                self.stats.decoded_tokens += slot_steps(request.sampling)
                self._answers.append((self.now + self._delay, request))
        while self._answers and self._answers[0][0] == self.now:
            request = self._answers.popleft()[1]
            if not request.future.done():
                request.future.set_result(_completion(request.sampling))
        self.stats.running = self._running

    def _begin(self, request: _Request) -> None:
        request.running = True
        self._running += 1
        self._begun += 1
        end = self.now + slot_steps(request.sampling)
        heapq.heappush(self._ends, (end, self._begun, request))

    def _go_to(self, moment: int) -> None:
        passed = moment - self.now
        self.now = moment
        if self._running:
            self.stats.steps = (self.stats.steps or 0) + passed
            self.stats.busy_slot_steps = (self.stats.busy_slot_steps or 0) + passed * self._running

    async def rest(self) -> None:
        """Has nothing to give back."""

    async def wake(self) -> None:
        """Is awake."""

    async def close(self) -> None:
        """Has nothing to close."""


STEP_SECONDS = 0.02
"""What a step takes by the loop's clock, for who waits for time: 600 sequences on an H100."""


class _Selector(selectors.SelectSelector):
    """Waits for nothing in the world: where a loop would wait, virtual time goes on."""

    def __init__(self, engine: ReplayEngine) -> None:
        super().__init__()
        self._engine = engine
        self.idle = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or (timeout > 0 and self._engine.has_work):
            self._engine.advance()
        elif timeout > 0:
            self.idle += timeout
        return []


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose clock is the engine's."""

    def __init__(self, engine: ReplayEngine) -> None:
        self._engine, self._waits = engine, _Selector(engine)
        super().__init__(self._waits)

    def time(self) -> float:
        return self._engine.now * STEP_SECONDS + self._waits.idle


def replay(engine: ReplayEngine, work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end in the engine's virtual time.

    Args:
        engine: The only thing that the coroutine may wait for, besides itself and the clock.
        work: The coroutine.
    """
    with asyncio.Runner(loop_factory=lambda: _Loop(engine)) as runner:
        return runner.run(work)
