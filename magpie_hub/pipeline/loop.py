"""Rounds: generate, judge and select until enough rows are kept.

The first round generates as many rows as are wanted; each further one as many more as it takes, by
the share that the selection has kept so far. The generator is loaded once for all of them.

When the device's memory runs out in the middle of a round, it is begun anew with fewer slots: what
is finished is in the journal, and rows that were in flight are drawn again from their seeds.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from magpie_hub.chat.format import ChatFormat
from magpie_hub.engines.base import Engine
from magpie_hub.engines.pool import EnginePool
from magpie_hub.errors import EngineError, OutOfMemory, YieldError
from magpie_hub.gates.registry import GateSet
from magpie_hub.generate.generator import engine_options, load_chat, row_tokens
from magpie_hub.generate.plan import Plan
from magpie_hub.generate.rollout import Rollouts
from magpie_hub.generate.scheduler import (
    WINDOW,
    PrefixTracker,
    Progress,
    Watcher,
    no_room,
    run_rollouts,
)
from magpie_hub.judges.models import judge_models, tags_itself
from magpie_hub.judges.runner import JudgeRunner
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.config import Chat, Recipe
from magpie_hub.selection.deliver import SelectionProgress, evaluate, wanted_rows
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStore
from magpie_hub.store.usage import UsageMeter


@dataclass(frozen=True, slots=True)
class BuildLoop:
    """One run over an open book, by whoever holds its lock.

    Attributes:
        recipe: The recipe.
        source: Its generator.
        chat: The generator's chat format.
        gates: The recipe's gates.
        judging: Its judges.
        book: Where turns are committed.
        home: The folder of packaged models.
        say: Told what is going on, a line each.
        watch: Told how far it is, twice a second.
        main_guarded: Whether the main module may be imported again without harm.
    """

    recipe: Recipe
    source: ModelSource
    chat: ChatFormat
    gates: GateSet
    judge_runner: JudgeRunner
    row_store: RowStore
    home: Path
    say: Callable[[str], None]
    watch: Watcher | None = None
    main_guarded: bool = False

    async def run(self) -> None:
        """Runs until the dataset's rows are there.

        Raises:
            UserError: A model or the device will not do.
            RunError: The run had to stop; finished turns and labels are kept.
        """
        enough = wanted_rows(self.recipe)
        if begun := min(PrefixTracker(self.row_store, enough).kept, enough):
            self.say(f"{begun} of {enough} rows are in the journal; going on from there")
        begin = partial(_begin_session, self.row_store)
        async with EnginePool(
            self.source,
            engine_options(self.recipe),
            self.home,
            say=self.say,
            rows=enough,
            row_tokens=row_tokens(self.recipe),
            constrained=tags_itself(self.recipe),
            shares=bool(judge_models(self.recipe)),
            main_guarded=self.main_guarded,
            started=begin,
        ) as engines:
            while True:
                try:
                    more = await self._round(enough, engines)
                except OutOfMemory as error:
                    await engines.back_off(error)
                    continue
                if more is None:
                    return
                enough = more

    async def _round(self, enough: int, engines: EnginePool) -> int | None:
        """Generates and judges until `enough` rows have passed the gates.

        Returns:
            How many it takes for the next round; None if this was the last.
        """
        tracker = PrefixTracker(self.row_store, enough)
        if not tracker.done:
            await self._grow(tracker, engines)
        pool = passing(self.row_store, enough)
        chat_of = partial(chat_of_judge, self.recipe, self.chat, self.source, self.home)
        await self.judge_runner.label(
            self.row_store, pool, engines, chat_of, self.say, _stages(self.watch)
        )
        with self.judge_runner.labels(pool) as labels:
            found = evaluate(self.row_store, self.recipe, labels)
        if not found.missing:
            return None
        if len(found.pool) < len(pool):
            row_id = pool[len(found.pool)]
            raise EngineError(f"row {row_id} was judged and has no label")
        more = self._more(found)
        self.say(
            f"{found.passed} of {len(found.pool)} rows pass the selection; generating up to {more}"
        )
        return more

    async def _grow(self, tracker: PrefixTracker, engines: EnginePool) -> None:
        """Generates until the ledger is done."""
        finished = 0
        meter = UsageMeter(self.row_store.later or self.row_store.first)
        with meter.stage("generate", self.source.name, lambda: finished) as use:
            engine = await engines.generator()
            use.engine(engine)
            with self.judge_runner.tagging(engine, self.chat) as (tag, labels):
                pending = PendingTurns(self.row_store, labels)
                plan = Plan(self.recipe)
                rollouts = Rollouts(plan, self.chat, engine, self.gates, pending, tag)
                try:
                    await run_rollouts(
                        tracker,
                        rollouts,
                        pending,
                        engine,
                        min_yield=self.recipe.min_yield,
                        watch=self.watch,
                    )
                finally:
                    finished = rollouts.finished
                if advice := no_room(rollouts, engine):
                    self.say(advice)

    def _more(self, found: SelectionProgress) -> int:
        """Rows that must pass the gates so that enough of them will be kept, a few to spare.

        Raises:
            YieldError: The selection keeps too few.
        """
        pool, passed = len(found.pool), found.passed
        if found.planned >= WINDOW and passed < self.recipe.min_yield * found.planned:
            worst = ", ".join(f"{why} {count}" for why, count in found.rejected.most_common(4))
            raise YieldError(
                f"only {passed} of {found.planned} rows pass, under the recipe's min_yield of "
                f"{self.recipe.min_yield:g} ({worst}); loosen the selection, change the sampling "
                "or the model, or lower min_yield; what is generated and labelled stays"
            )
        share = (passed + 1) / (pool + 2)
        more = found.missing / share
        return pool + math.ceil(more + math.sqrt(more * (1 - share)))


def passing(row_store: RowStore, most: int | None = None) -> array[int]:
    """Rows that passed the gates, in order, below the first unfinished one; `most` at most."""
    found = array("q")
    for status in row_store.statuses():
        if not status.finished or (most is not None and len(found) >= most):
            break
        if status.passed:
            found.append(status.row_id)
    return found


def _begin_session(row_store: RowStore, engine: Engine) -> None:
    """Writes down which engine the turns that follow are drawn with."""
    info = engine.info
    session = {
        "engine": info.name,
        "version": info.version,
        "device": info.device,
        "dtype": info.dtype,
        "slots": info.slots,
        "max_model_len": info.max_model_len,
        "settings": info.settings,
    }
    for journal in filter(None, (row_store.first, row_store.later)):
        journal.begin_session(session)


def _stages(watch: Watcher | None) -> Callable[[str, int, int], None] | None:
    """Tells a watcher of rows how far the judges are."""
    if watch is None:
        return None
    begun: dict[str, float] = {}

    def stage(name: str, done: int, total: int) -> None:
        since = begun.setdefault(name, time.monotonic())
        watch(
            Progress(
                total, passed=done, finished=done, stage=name, seconds=time.monotonic() - since
            )
        )

    return stage


def chat_of_judge(
    recipe: Recipe, own: ChatFormat, generator: ModelSource, home: Path, source: ModelSource
) -> ChatFormat:
    """The chat format of a model that judges; the generator's own if it is the generator."""
    if (source.name, source.revision) == (generator.name, generator.revision):
        return own
    plain = recipe.model_copy(update={"chat": Chat()})
    return load_chat(plain, source, home)
