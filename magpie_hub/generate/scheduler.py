"""The scheduler: rollouts kept in flight near the engine's slots until enough rows pass.

There is no barrier between rows, stages or turns. Rows start in the order of their ids, as many as
are probably needed. The run ends when the wanted number of rows passes among row ids that are all
finished. So which rows are delivered depends on their texts, not on the order of finishing.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from magpie_hub.engines.base import Engine, EngineStats
from magpie_hub.errors import YieldError
from magpie_hub.generate.rollout import Rollouts
from magpie_hub.generate.tracker import PrefixTracker
from magpie_hub.store.pending import PendingTurns

WINDOW = 200
"""Number of last rows that the yield is measured on."""

COMMIT_SECONDS = 0.1
"""Longest time in seconds that finished turns wait to be committed with others."""


@dataclass(slots=True)
class Progress:
    """The progress of a run.

    Attributes:
        wanted: Rows that must pass.
        passed: Rows that pass so far, those above unfinished rows included.
        settled: Row ids below which all are finished.
        in_flight: Rows being generated.
        started: Rows started so far, in this run and before.
        finished: Rows finished by this run.
        reasons: Rejected rows by reason, this run and before.
        slots: Slots of the engine.
        engine: The engine's counters.
        seconds: Since the run began.
        stage: "rows" while rows are generated, else the name of the judge at work; then `wanted`
            counts the rows to label, and `passed` the labelled ones.
    """

    wanted: int
    passed: int = 0
    settled: int = 0
    in_flight: int = 0
    started: int = 0
    finished: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    slots: int = 0
    engine: EngineStats = field(default_factory=EngineStats)
    seconds: float = 0.0
    stage: str = "rows"

    @property
    def rate(self) -> float:
        """Rows finished per second by this run."""
        return self.finished / self.seconds if self.seconds > 0 else 0.0


Watcher = Callable[[Progress], None]


async def run_rollouts(
    tracker: PrefixTracker,
    rollouts: Rollouts,
    pending: PendingTurns,
    engine: Engine,
    *,
    min_yield: float = 0.0,
    watch: Watcher | None = None,
    every: float = 0.5,
) -> Progress:
    """Generates rows until the tracker is done, and commits their turns.

    While more rows wait than the engine has slots, turns are committed `COMMIT_SECONDS` after they
    are finished, many in one transaction; a row counts once its turns are committed.

    Args:
        tracker: Of the rows.
        rollouts: Generate one row each; they hand their turns over to `pending`.
        pending: The turns that are not committed yet.
        engine: The engine that they use, for its slots and counters.
        min_yield: Stop when fewer than this share of the last `WINDOW` finished rows passed.
        watch: Called every `every` seconds, and at the end.
        every: Seconds.

    Returns:
        The run's progress at its end.

    Raises:
        YieldError: Too few rows pass. Nothing is lost.
        EngineError, JournalError: From the rollouts; everything finished is committed.
    """
    recent: deque[bool] = deque(maxlen=WINDOW)
    tasks: dict[asyncio.Task[bool], int] = {}
    ended: list[asyncio.Task[bool]] = []
    waiting: list[tuple[int, bool]] = []  # Finished rows whose turns are not committed.
    changed = asyncio.Event()
    begun = time.monotonic()
    progress = Progress(tracker.wanted, engine=engine.stats)

    def look() -> Progress:
        progress.slots = engine.info.slots
        progress.passed = tracker.passing
        progress.settled = tracker.settled
        progress.in_flight = tracker.in_flight
        progress.started = tracker.started
        progress.reasons = tracker.reasons
        progress.seconds = time.monotonic() - begun
        return progress

    async def tick(watcher: Watcher) -> None:
        while True:
            watcher(look())
            await asyncio.sleep(every)

    def end(task: asyncio.Task[bool]) -> None:
        ended.append(task)
        changed.set()

    def collect() -> None:
        """Takes back the rows whose tasks have ended; raises what ended one of them."""
        while ended:
            task = ended.pop()
            waiting.append((tasks.pop(task), task.result()))

    def commit() -> None:
        pending.commit()
        tracker.finish(waiting)
        recent.extend(passed for _, passed in waiting)
        progress.finished += len(waiting)
        waiting.clear()

    async def beat() -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            if waiting or len(pending):
                due.set()
                changed.set()

    due = asyncio.Event()
    helpers = [asyncio.create_task(beat())]
    if watch:
        helpers.append(asyncio.create_task(tick(watch)))
    try:
        while not tracker.done:
            # The slots may change while rows run: an engine may lose some, or win others.
            slots = engine.info.slots
            # A few more than the slots, so that a freed slot finds a request waiting.
            most = slots + max(4, slots // 8)
            share = (1 + sum(recent)) / (1 + len(recent))
            while len(tasks) < most and tracker.sure_to_pass(share) < tracker.wanted:
                row_id = tracker.take()
                if row_id is None:
                    break
                task = asyncio.create_task(rollouts.run(row_id))
                task.add_done_callback(end)
                tasks[task] = row_id
            if tracker.done:
                break
            full = len(tasks) >= most
            await changed.wait()
            changed.clear()
            collect()
            # With slots to spare no more rows are started, and each that counts may be the last.
            if full and not due.is_set():
                continue
            due.clear()
            commit()
            if len(recent) == WINDOW and sum(recent) < min_yield * WINDOW and not tracker.done:
                said = _give_up(recent, min_yield, tracker)
                raise YieldError("; ".join(filter(None, (said, no_room(rollouts, engine)))))
    finally:
        for running in (*helpers, *tasks):
            running.cancel()
        await asyncio.gather(*helpers, *tasks, return_exceptions=True)
        # What a run that is ended has finished is committed, so it counts.
        for task, row_id in tasks.items():
            if not task.cancelled() and task.exception() is None:
                waiting.append((row_id, task.result()))
        commit()
        if watch:
            watch(look())
    return look()


def no_room(rollouts: Rollouts, engine: Engine) -> str:
    """What to do about words for which the context had no room; "" if there was room for all."""
    if not rollouts.no_room:
        return ""
    return (
        f"{rollouts.no_room} turns were cut off at the end of the context of "
        f"{engine.info.max_model_len:,} tokens: raise max_model_len, as far as the model's own "
        "context goes, or take fewer turns or a lower max_tokens"
    )


def _give_up(recent: deque[bool], min_yield: float, tracker: PrefixTracker) -> str:
    worst = ", ".join(f"{reason} {count}" for reason, count in tracker.reasons.most_common(4))
    return (
        f"only {sum(recent)} of the last {len(recent)} rows passed, under the recipe's min_yield "
        f"of {min_yield:g}; {tracker.passing} of {tracker.wanted} rows are kept (rejects so far: "
        f"{worst or 'none settled'}); change the gates, the sampling or the model, or lower "
        "min_yield"
    )
