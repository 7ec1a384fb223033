"""A run: one recipe with its generator pinned and its journals found.

The command line, the Python API, the `datasets` builder and a schedule all open a `Run`, complete
it, and read its rows and labels. What is there already is never generated or judged again; when
enough rows pass, neither model nor engine is loaded.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from magpie_hub.chat.format import ChatFormat
from magpie_hub.errors import JournalError, OutputError
from magpie_hub.gates.registry import GateSet, build_gates, verdict_settings
from magpie_hub.generate.generator import check_memory, engine_options, load_chat
from magpie_hub.generate.rollout import GateJudge, judge_again
from magpie_hub.generate.scheduler import PrefixTracker, Progress, Watcher
from magpie_hub.judges.models import (
    REVISIONS,
    judges_pinned,
    pin_judges,
    quality_threshold,
    tags_itself,
)
from magpie_hub.judges.runner import JudgeRunner
from magpie_hub.models.source import ModelSource, is_remote, pin
from magpie_hub.paths import home as default_home
from magpie_hub.pipeline.loop import BuildLoop, passing
from magpie_hub.pipeline.open import open_recipe as open_recipe
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import fingerprint, first_turn_settings, later_turn_settings
from magpie_hub.selection.deliver import Delivery, deliver, wanted_rows
from magpie_hub.store.baseline import Baseline
from magpie_hub.store.journal import FIRST as FIRST
from magpie_hub.store.journal import Journal, writer_lock
from magpie_hub.store.orphans import NAMES, Orphans, find_orphans
from magpie_hub.store.rows import RowStore
from magpie_hub.store.sqlite import IN_MEMORY

PRE_QUERIES = "pre_queries"
"""The first journal's meta key of what the generator was given for a first instruction."""

Say = Callable[[str], None]
"""Takes one line for the person who waits."""


@dataclass(frozen=True, slots=True)
class Run:
    """A recipe with its generator pinned and its journals found.

    Attributes:
        recipe: With this run's overrides.
        source: The generator at a pinned revision.
        home: The folder of all journals and packaged models.
        gates: The recipe's gates.
        past: What is published already, for an increment; None for a dataset of its own.
    """

    recipe: Recipe
    source: ModelSource
    home: Path
    gates: GateSet
    baseline: Baseline | None = None

    @classmethod
    def open(
        cls, recipe: Recipe, home: Path | None = None, baseline: Baseline | None = None
    ) -> Run:
        """Pins the generator and finds the journals. Loads nothing heavy, writes nothing.

        A recipe that names no revision goes on with the revision that its rows were begun with,
        so that a commit to the model's repository does not orphan them.

        Args:
            recipe: With this run's overrides; its rows are the increment's, if there is a baseline.
            home: The folder of all journals; the environment's by default.
            past: What is published already, if these rows are to be added to it.

        Raises:
            DeviceError: The generator cannot run here, by what the recipe says it needs.
            ModelError: The generator cannot be found or reached.
        """
        home = home or default_home()
        revision = recipe.model_revision
        if revision is None and is_remote(recipe.model):
            begun = find_journal(recipe, home)
            if begun is None:
                check_memory(recipe)
            else:
                revision = begun.revision
        source = pin(recipe.model, revision)
        return cls(recipe, source, home, build_gates(recipe.gates.rules), baseline)

    @property
    def folder(self) -> Path:
        """The folder of the journals of these first turns."""
        settings = first_turn_settings(self.recipe, self.source.revision)
        return journals(self.home) / f"{model_slug(self.recipe.model)}-{fingerprint(settings)}"

    @property
    def verdicts_of(self) -> str:
        """Names the list of gates whose verdicts the journals are read with."""
        return fingerprint(verdict_settings(self.recipe))

    @property
    def wanted(self) -> int:
        """Rows that must pass."""
        return wanted_rows(self.recipe)

    @property
    def streams(self) -> bool:
        """Whether a row is known to be delivered as soon as it and all lower ones are finished."""
        return self.wanted == self.recipe.rows and not self.recipe.judges.names

    @contextmanager
    def row_store(self, *, writable: bool = False) -> Iterator[RowStore]:
        """The job's rows, read from (or opened for writing in) its journals.

        Raises:
            OutputError: They cannot be opened; a book that nobody has begun cannot be read.
        """
        with contextlib.ExitStack() as stack:
            gates = self.verdicts_of
            first = stack.enter_context(Journal(self.folder / FIRST, gates, readonly=not writable))
            later = None
            if self.recipe.turns > 1:
                path = self.folder / later_name(self.recipe)
                if writable or path.exists():
                    later = stack.enter_context(Journal(path, gates, readonly=not writable))
                else:
                    later = stack.enter_context(Journal(IN_MEMORY, gates))
            threshold = quality_threshold(self.recipe, self.source)
            if self.baseline is None:
                yield RowStore(first, later, self.recipe.turns, threshold)
                return
            taken = self.baseline.digests if self.recipe.gates.duplicate else ()
            yield RowStore(
                first, later, self.recipe.turns, threshold, start=self.baseline.start, taken=taken
            )

    def progress(self) -> Progress:
        """What the journals hold for this recipe; no rows at all if nobody has begun."""
        progress = Progress(self.wanted)
        if (self.folder / FIRST).exists():
            with self.row_store() as row_store:
                tracker = PrefixTracker(row_store, self.wanted)
                progress.passed, progress.settled = tracker.passed, tracker.settled
                progress.reasons = tracker.reasons
        return progress

    def judge_runner(self, row_store: RowStore) -> JudgeRunner | None:
        """The judges that have labelled this journal's rows, at the revisions it names.

        Returns:
            None if one of the recipe's judges is not pinned there, so that it has judged nothing.
        """
        revisions = row_store.first.meta(REVISIONS) or {}
        if not judges_pinned(self.recipe, revisions):
            return None
        return self._judges(revisions)

    def _judges(self, revisions: Mapping[str, str]) -> JudgeRunner:
        published = self.baseline.shards if self.baseline else ()
        return JudgeRunner(self.recipe, self.source, self.folder, self.home, revisions, published)

    def _pin_judges(self) -> dict[str, str]:
        """Revisions of the judges' models; those that the journal does not name are looked up."""
        known: dict[str, str] = {}
        if (self.folder / FIRST).exists():
            with self.row_store() as row_store:
                known = row_store.first.meta(REVISIONS) or {}
        return pin_judges(self.recipe, known | self._baseline_judges)

    @property
    def _baseline_judges(self) -> dict[str, str]:
        """Revisions that published rows were judged with, which an increment keeps to."""
        return dict(self.baseline.judges) if self.baseline else {}

    def delivery(self) -> Delivery | None:
        """The dataset's rows, if all that it takes is in the journals and labelled."""
        if not (self.folder / FIRST).exists():
            return None
        with self.row_store() as row_store:
            judge_runner = self.judge_runner(row_store)
            if judge_runner is None:
                return None
            # Only neighbours ask for the pool, which takes a look at every row to find.
            pool = passing(row_store) if judge_runner.neighbor_index is not None else ()
            with judge_runner.labels(pool) as labels:
                return deliver(row_store, self.recipe, labels)

    async def complete(
        self, *, say: Say, watch: Watcher | None = None, main_guarded: bool = False
    ) -> None:
        """Generates and judges what is missing. The one way in which rows come to be.

        Waits while another process works on the same rows, and then goes on from where it ended.

        Args:
            say: Told what is going on, a line each.
            watch: Told how far it is, twice a second.
            main_guarded: Whether the main module may be imported again without harm, as the
                command's may: then an engine may have a process of its own.

        Raises:
            UserError: The model, its chat template, a judge or the device will not do.
            RunError: The run had to stop; finished turns and labels are kept.
        """
        from magpie_hub.engines.factory import plan_engine

        if self.delivery() is not None:
            return
        if left_out := self.recipe.judges.left_out_text:
            say(f"left out, with what would be selected by them: {left_out}")
        chat: ChatFormat | None = None
        if self._unjudged():
            # Takes no engine, and may be all that there is to do.
            chat = load_chat(self.recipe, self.source, self.home)
            with writer_lock(self.folder, say), self.row_store(writable=True) as row_store:
                self._judge_again(row_store, chat, say)
            if self.delivery() is not None:
                return
        if orphans := self.left_behind():
            say(f"warning: {orphans}")
        # What may be refused is asked for before anything is written.
        constrained = tags_itself(self.recipe)
        plan_engine(self.source, engine_options(self.recipe), constrained=constrained)
        chat = chat or load_chat(self.recipe, self.source, self.home)
        if self.recipe.turns > 1:
            # Raises if the template takes a single turn only.
            assert chat.next_query
        revisions = self._pin_judges()
        self._judges(revisions).check()
        with writer_lock(self.folder, say), self.row_store(writable=True) as row_store:
            self._describe(row_store, chat)
            self._judge_again(row_store, chat, say)
            # Who held the lock until now may have pinned them first.
            revisions |= (row_store.first.meta(REVISIONS) or {}) | self._baseline_judges
            row_store.first.set_meta(REVISIONS, revisions)
            row_store.begin()
            rounds = BuildLoop(
                self.recipe,
                self.source,
                chat,
                self.gates,
                self._judges(revisions),
                row_store,
                self.home,
                say,
                watch,
                main_guarded,
            )
            await rounds.run()

    def left_behind(self) -> Orphans | None:
        """The rows of this recipe that these settings would not go on with, but begin anew.

        Gates, rows, turns, judges and thresholds leave nothing behind.
        """
        name, start = self.recipe.name, self.baseline.start if self.baseline else 0
        if not (self.folder / FIRST).exists():
            paths = journals(self.home).glob(f"{model_slug(self.recipe.model)}-*/{FIRST}")
            settings = first_turn_settings(self.recipe, self.source.revision)
            return find_orphans(paths, settings, name, start=start)
        if self.recipe.turns > 1 and not (self.folder / later_name(self.recipe)).exists():
            paths = self.folder.glob("later-*.db")
            settings = later_turn_settings(self.recipe)
            return find_orphans(paths, settings, name, start=start, later=True)
        return None

    def _unjudged(self) -> bool:
        """Whether these gates have not been asked about some journaled turn."""
        if not (self.folder / FIRST).exists():
            return False
        with self.row_store() as row_store:
            return any(journal.unjudged() for journal in row_store.journals)

    def _judge_again(self, row_store: RowStore, chat: ChatFormat, say: Say) -> None:
        judge_again(row_store.journals, GateJudge(chat, self.gates, self.recipe.gates), say)

    def _describe(self, row_store: RowStore, chat: ChatFormat) -> None:
        """Writes down what the journals hold, so that they can be found again and explained.

        The rows of one journal are drawn with one chat format.
        """
        derived = json.loads(json.dumps(chat.to_json()))
        known = row_store.first.meta("chat") or (self.baseline.chat if self.baseline else None)
        if known is not None and known != derived:
            raise JournalError(
                f"{row_store.first.path}: these rows were drawn with another chat format than the "
                "one derived now (another version of transformers?); use that version, or "
                "set another seed to begin a new set"
            )
        row_store.first.set_meta("chat", derived)
        row_store.first.set_meta(PRE_QUERIES, pre_queries(self.recipe, chat))
        settings = [
            first_turn_settings(self.recipe, self.source.revision),
            later_turn_settings(self.recipe),
        ]
        for journal, said in zip(row_store.journals, settings, strict=False):
            # Recipes that draw the same go on with each other's rows.
            names = {self.recipe.name, *(journal.meta(NAMES) or ())}
            journal.set_meta(NAMES, sorted(names))
            journal.set_meta("settings", said)


def pre_queries(recipe: Recipe, chat: ChatFormat) -> dict[str, str]:
    """What the generator is given for a first instruction, as text, by the system prompt's name.

    The name of no system prompt is "".
    """
    systems: dict[str, str | None] = {one.name: one.text for one in recipe.instruct.systems}
    systems = systems or {"": None}
    return {name: chat.decode(chat.query_prompt((), text)) for name, text in systems.items()}


def journals(home: Path) -> Path:
    """The folder of all journals."""
    return home / "journals"


def later_name(recipe: Recipe) -> str:
    """File name of the journal of a recipe's later turns."""
    return f"later-{fingerprint(later_turn_settings(recipe))}.db"


def model_slug(model: str) -> str:
    """A model's name as part of a file name."""
    base = model.rstrip("/").rsplit("/", 1)[-1]
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in base) or "model"


class JournalFolder(NamedTuple):
    """A journal folder, and the generator's revision that its rows were drawn with."""

    folder: Path
    revision: str


def find_journal(recipe: Recipe, home: Path) -> JournalFolder | None:
    """The newest journal that holds just what this recipe draws, at whatever revision."""
    found: list[tuple[float, JournalFolder]] = []
    for path in journals(home).glob(f"{model_slug(recipe.model)}-*/{FIRST}"):
        settings = journaled_settings(path)
        if settings and settings == first_turn_settings(recipe, settings["revision"]):
            found.append((path.stat().st_mtime, JournalFolder(path.parent, settings["revision"])))
    return max(found)[1] if found else None


def journaled_settings(path: Path) -> dict[str, Any] | None:
    """The settings that a journal of first turns was begun with; None if it cannot be read."""
    try:
        with Journal(path, readonly=True) as journal:
            settings: dict[str, Any] | None = journal.meta("settings")
            return settings
    except (JournalError, OutputError):
        return None
