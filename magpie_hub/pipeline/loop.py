"""The build loop: generate, judge and select until enough rows are kept.

The first round generates as many rows as are wanted; each further one as many more as it takes, by
the share that the selection has kept so far. The generator is loaded once for all of them.

If the device's memory runs out during a round, the round starts again with fewer slots: finished
turns are in the journal, and rows that were in flight are generated again from their seeds.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from magpie_hub.chat.format import ChatFormat
from magpie_hub.engines.base import Engine
from magpie_hub.engines.pool import EnginePool
from magpie_hub.errors import EngineError, JournalError, OutOfMemory, YieldError
from magpie_hub.generate.generator import engine_options, load_chat, row_tokens
from magpie_hub.generate.plan import Plan
from magpie_hub.generate.rollout import GateJudge, Rollouts, judge_again
from magpie_hub.generate.scheduler import WINDOW, Progress, Watcher, no_room, run_rollouts
from magpie_hub.generate.tracker import PrefixTracker
from magpie_hub.judges.models import REVISIONS, judge_models, pin_judges, tags_itself
from magpie_hub.judges.runner import JudgeRunner
from magpie_hub.models.source import ModelSource
from magpie_hub.pipeline.background import Background
from magpie_hub.pipeline.run import PRE_QUERIES, Run, pre_queries
from magpie_hub.recipe.chat import ChatOptions
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import first_turn_settings, later_turn_settings
from magpie_hub.selection.deliver import Delivery, SelectionProgress, evaluate
from magpie_hub.store.journal import writer_lock
from magpie_hub.store.orphans import NAMES
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStore, passing
from magpie_hub.store.usage import UsageMeter

Say = Callable[[str], None]
"""Takes one line for the user."""


def complete(
    run: Run, *, say: Say, watch: Watcher | None = None, main_guarded: bool = False
) -> Delivery:
    """Generates and judges what a run lacks, on a thread of its own.

    Args:
        run: The run.
        say: Takes lines for the user; called on the thread.
        watch: Takes the progress, twice a second.
        main_guarded: Whether the main module can be imported again without side effects, as the
            command's can: then an engine may have a process of its own.

    Returns:
        The dataset's rows.

    Raises:
        UserError: The model, its chat template, a judge or the device cannot be used.
        RunError: The run had to stop; finished turns and labels are kept.
    """
    with Background(partial(generate, run, say, main_guarded=main_guarded)) as background:
        return background.follow(watch)


async def generate(
    run: Run, say: Say, watch: Watcher | None = None, *, main_guarded: bool = False
) -> Delivery:
    """Generates and judges what a run lacks: the only function that generates rows.

    Waits while another process works on the same rows, then continues where that one ended.
    Arguments, result and errors are those of `complete`.
    """
    from magpie_hub.engines.factory import plan_engine

    recipe = run.recipe
    if (delivery := run.delivery()) is not None:
        return delivery
    if left_out := recipe.judges.left_out_text:
        say(f"left out, with the selection rules that need them: {left_out}")
    chat: ChatFormat | None = None
    if _unjudged(run):
        # Takes no engine, and may be all that there is to do.
        chat = load_chat(recipe, run.source, run.home)
        with writer_lock(run.folder, say), run.row_store(writable=True) as row_store:
            _judge_again(run, row_store, chat, say)
        if (delivery := run.delivery()) is not None:
            return delivery
    if orphans := run.left_behind():
        say(f"warning: {orphans}")
    # Everything that may be refused is checked before anything is written.
    plan_engine(run.source, engine_options(recipe), constrained=tags_itself(recipe))
    chat = chat or load_chat(recipe, run.source, run.home)
    if recipe.turns > 1:
        chat.next_query  # noqa: B018 - raises if the template takes a single turn only
    revisions = _pin_judges(run)
    run.judges(revisions).check()
    with writer_lock(run.folder, say), run.row_store(writable=True) as row_store:
        _describe(run, row_store, chat)
        _judge_again(run, row_store, chat, say)
        # The process that held the lock until now may have pinned them first.
        revisions |= (row_store.first.meta(REVISIONS) or {}) | run.baseline_judges
        row_store.first.set_meta(REVISIONS, revisions)
        row_store.begin()
        loop = BuildLoop(run, row_store, chat, run.judges(revisions), say, watch)
        enough = run.wanted
        if begun := min(PrefixTracker(row_store, enough).kept, enough):
            say(f"{begun} of {enough} rows are in the journal; continuing from there")
        async with loop.engines(main_guarded) as engines:
            while True:
                try:
                    await loop.generate(enough, engines)
                    found = await loop.select(enough, engines)
                except OutOfMemory as error:
                    await engines.back_off(error)
                    continue
                if not found.missing:
                    return found.delivery()
                enough = loop.more(found)
                kept = f"{found.passed} of {len(found.pool)} rows pass the selection"
                say(f"{kept}; generating up to {enough}")


@dataclass(frozen=True, slots=True)
class BuildLoop:
    """Generate, judge and select, until enough rows are kept; by the process that has the lock.

    Attributes:
        run: The run.
        row_store: Its rows, open for writing.
        chat: The generator's chat format.
        judges: The recipe's judges.
        say: Takes lines for the user.
        watch: Takes the progress, twice a second.
    """

    run: Run
    row_store: RowStore
    chat: ChatFormat
    judges: JudgeRunner
    say: Say
    watch: Watcher | None = None

    def engines(self, main_guarded: bool) -> EnginePool:
        """The engines of the run; none is started yet."""
        recipe = self.run.recipe
        return EnginePool(
            self.run.source,
            engine_options(recipe),
            self.run.home,
            say=self.say,
            rows=self.run.wanted,
            row_tokens=row_tokens(recipe),
            constrained=tags_itself(recipe),
            shares=bool(judge_models(recipe)),
            main_guarded=main_guarded,
            started=partial(_begin_session, self.row_store),
        )

    async def generate(self, enough: int, engines: EnginePool) -> None:
        """Generates until `enough` rows have passed the gates."""
        tracker = PrefixTracker(self.row_store, enough)
        if tracker.done:
            return
        finished, recipe = 0, self.run.recipe
        meter = UsageMeter(self.row_store.later or self.row_store.first)
        with meter.stage("generate", self.run.source.name, lambda: finished) as use:
            engine = await engines.generator()
            use.engine(engine)
            with self.judges.tagging(engine, self.chat) as (tag, labels):
                pending = PendingTurns(self.row_store, labels)
                gates = self.run.gates
                rollouts = Rollouts(Plan(recipe), self.chat, engine, gates, pending, tag)
                least, watch = recipe.min_yield, self.watch
                try:
                    await run_rollouts(
                        tracker, rollouts, pending, engine, min_yield=least, watch=watch
                    )
                finally:
                    finished = rollouts.finished
                if advice := no_room(rollouts, engine):
                    self.say(advice)

    async def select(self, enough: int, engines: EnginePool) -> SelectionProgress:
        """Judges the first `enough` rows that passed the gates, and selects among them."""
        recipe, pool = self.run.recipe, passing(self.row_store, enough)
        chat_of = partial(chat_of_judge, recipe, self.chat, self.run.source, self.run.home)
        watch = _stages(self.watch)
        await self.judges.label(self.row_store, pool, engines, chat_of, self.say, watch)
        with self.judges.labels(pool) as labels:
            found = evaluate(self.row_store, recipe, labels)
        if found.missing and len(found.pool) < len(pool):
            row_id = pool[len(found.pool)]
            raise EngineError(f"row {row_id} was judged and has no label")
        return found

    def more(self, found: SelectionProgress) -> int:
        """Rows that must pass the gates so that the selection keeps enough, and a few more.

        Raises:
            YieldError: The selection keeps too few.
        """
        pool, passed = len(found.pool), found.passed
        least = self.run.recipe.min_yield
        if found.planned >= WINDOW and passed < least * found.planned:
            worst = ", ".join(f"{why} {count}" for why, count in found.rejected.most_common(4))
            raise YieldError(
                f"only {passed} of {found.planned} rows pass, under the recipe's min_yield of "
                f"{least:g} ({worst}); loosen the selection, change the sampling "
                "or the model, or lower min_yield; generated rows and labels are kept"
            )
        share = (passed + 1) / (pool + 2)
        more = found.missing / share
        return pool + math.ceil(more + math.sqrt(more * (1 - share)))


def _unjudged(run: Run) -> bool:
    """Whether some journaled turn has no verdict of these gates."""
    if not run.begun:
        return False
    with run.row_store() as row_store:
        return any(journal.unjudged() for journal in row_store.journals)


def _judge_again(run: Run, row_store: RowStore, chat: ChatFormat, say: Say) -> None:
    judge_again(row_store.journals, GateJudge(chat, run.gates, run.recipe.gates), say)


def _describe(run: Run, row_store: RowStore, chat: ChatFormat) -> None:
    """Records what the journals hold, so that they can be found again and explained.

    The rows of one journal are generated with one chat format.
    """
    derived = json.loads(json.dumps(chat.to_json()))
    known = row_store.first.meta("chat") or (run.baseline.chat if run.baseline else None)
    if known is not None and known != derived:
        raise JournalError(
            f"{row_store.first.path}: these rows were generated with another chat format than the "
            "one derived now (another version of transformers?); use that version, or "
            "set another seed to begin a new set"
        )
    row_store.first.set_meta("chat", derived)
    row_store.first.set_meta(PRE_QUERIES, pre_queries(run.recipe, chat))
    settings = [
        first_turn_settings(run.recipe, run.source.revision),
        later_turn_settings(run.recipe),
    ]
    for journal, said in zip(row_store.journals, settings, strict=False):
        # Recipes with the same settings continue each other's rows.
        names = {run.recipe.name, *(journal.meta(NAMES) or ())}
        journal.set_meta(NAMES, sorted(names))
        journal.set_meta("settings", said)


def _pin_judges(run: Run) -> dict[str, str]:
    """Revisions of the judges' models; those that the journal does not name are looked up."""
    known: dict[str, str] = {}
    if run.begun:
        with run.row_store() as row_store:
            known = row_store.first.meta(REVISIONS) or {}
    return pin_judges(run.recipe, known | run.baseline_judges)


def _begin_session(row_store: RowStore, engine: Engine) -> None:
    """Records which engine generates the turns that follow."""
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
    """Reports the judges' progress to a watcher of rows."""
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
    plain = recipe.model_copy(update={"chat": ChatOptions()})
    return load_chat(plain, source, home)
