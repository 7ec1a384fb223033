"""A run: one recipe with its generator pinned and its journals found.

The command line, the Python API, the `datasets` builder and a schedule all open a `Run`, complete
it, and read its rows and labels. Existing rows and labels are never made again. If enough rows
pass already, no model and no engine is loaded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from magpie_hub.chat.format import ChatFormat
from magpie_hub.errors import JournalError, OutputError
from magpie_hub.gates.registry import GateSet, build_gates, verdict_settings
from magpie_hub.generate.generator import check_memory
from magpie_hub.generate.scheduler import Progress
from magpie_hub.generate.tracker import PrefixTracker
from magpie_hub.judges.models import (
    REVISIONS,
    judges_pinned,
)
from magpie_hub.judges.runner import JudgeRunner
from magpie_hub.judges.tags import quality_threshold
from magpie_hub.models.source import ModelSource, is_remote, pin
from magpie_hub.paths import JOURNALS
from magpie_hub.paths import home as default_home
from magpie_hub.pipeline.open import open_recipe as open_recipe
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import fingerprint, first_turn_settings, later_turn_settings
from magpie_hub.selection.deliver import Delivery, deliver, wanted_rows
from magpie_hub.store.baseline import Baseline
from magpie_hub.store.journal import FIRST as FIRST
from magpie_hub.store.journal import Journal
from magpie_hub.store.orphans import Orphans, find_orphans
from magpie_hub.store.rows import RowStore, passing
from magpie_hub.store.sqlite import IN_MEMORY

PRE_QUERIES = "pre_queries"
"""The first journal's meta key of what the generator was given for a first instruction."""

Say = Callable[[str], None]
"""Takes one line for the user."""


@dataclass(eq=False)
class Run:
    """A recipe with its generator pinned and its journals found.

    Nothing is loaded or written; `magpie_hub.pipeline.loop.complete` does that.

    Attributes:
        recipe: With this run's overrides.
        source: The generator at a pinned revision.
        home: The folder of all journals and packaged models.
        gates: The recipe's gates.
        baseline: The published dataset, for an increment; None for a first release.
    """

    recipe: Recipe
    source: ModelSource
    home: Path
    gates: GateSet
    baseline: Baseline | None = None
    _judges: tuple[dict[str, str], JudgeRunner] | None = field(default=None, init=False, repr=False)

    @classmethod
    def open(
        cls, recipe: Recipe, home: Path | None = None, baseline: Baseline | None = None
    ) -> Run:
        """Pins the generator and finds the journals. Loads nothing heavy, writes nothing.

        A recipe without a revision keeps the one that its first rows were generated with, so that a
        commit to the model's repository does not orphan the rows.

        Args:
            recipe: With this run's overrides; its rows are the increment's, if there is a baseline.
            home: The folder of all journals; the environment's by default.
            baseline: The published dataset, if these rows are added to it.

        Raises:
            DeviceError: The generator needs more memory, by the recipe, than this machine has.
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

    @cached_property
    def folder(self) -> Path:
        """The folder of the journals of these first turns."""
        settings = first_turn_settings(self.recipe, self.source.revision)
        return journals(self.home) / f"{model_slug(self.recipe.model)}-{fingerprint(settings)}"

    @cached_property
    def gate_list(self) -> str:
        """Fingerprint of the gates whose verdicts the journals are read with."""
        return fingerprint(verdict_settings(self.recipe))

    @property
    def begun(self) -> bool:
        """Whether there is a journal of these first turns."""
        return (self.folder / FIRST).exists()

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
        """The rows, read from (or opened for writing in) their journals.

        Raises:
            OutputError: The journals cannot be opened, or do not exist yet and are only read.
        """
        with contextlib.ExitStack() as stack:
            gates = self.gate_list
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
        """What the journals hold for this recipe."""
        progress = Progress(self.wanted)
        if self.begun:
            with self.row_store() as row_store:
                tracker = PrefixTracker(row_store, self.wanted)
                progress.passed, progress.settled = tracker.passed, tracker.settled
                progress.reasons = tracker.reasons
        return progress

    def judge_runner(self, row_store: RowStore) -> JudgeRunner | None:
        """The judges that have labelled this journal's rows, at the revisions it names.

        Returns:
            None if one of the recipe's judges is not pinned there, and so has judged nothing.
        """
        revisions = row_store.first.meta(REVISIONS) or {}
        if not judges_pinned(self.recipe, revisions):
            return None
        return self.judges(revisions)

    def judges(self, revisions: Mapping[str, str]) -> JudgeRunner:
        """The judges at some revisions, made once."""
        if self._judges is None or self._judges[0] != revisions:
            published = self.baseline.shards if self.baseline else ()
            made = JudgeRunner(
                self.recipe, self.source, self.folder, self.home, revisions, published
            )
            self._judges = dict(revisions), made
        return self._judges[1]

    @property
    def baseline_judges(self) -> dict[str, str]:
        """Revisions that published rows were judged with; an increment uses the same."""
        return dict(self.baseline.judges) if self.baseline else {}

    def delivery(self) -> Delivery | None:
        """The dataset's rows, if the journals and labels hold all of them."""
        if not self.begun:
            return None
        with self.row_store() as row_store:
            judge_runner = self.judge_runner(row_store)
            if judge_runner is None:
                return None
            # Only the neighbours judge needs the pool, which takes a look at every row.
            pool = passing(row_store) if judge_runner.neighbor_index is not None else ()
            with judge_runner.labels(pool) as labels:
                return deliver(row_store, self.recipe, labels)

    def left_behind(self) -> Orphans | None:
        """The rows of this recipe that these settings leave behind: a run would start over.

        Gates, rows, turns, judges and thresholds leave nothing behind.
        """
        name, start = self.recipe.name, self.baseline.start if self.baseline else 0
        if not self.begun:
            paths = journals(self.home).glob(f"{model_slug(self.recipe.model)}-*/{FIRST}")
            settings = first_turn_settings(self.recipe, self.source.revision)
            return find_orphans(paths, settings, name, start=start)
        if self.recipe.turns > 1 and not (self.folder / later_name(self.recipe)).exists():
            paths = self.folder.glob("later-*.db")
            settings = later_turn_settings(self.recipe)
            return find_orphans(paths, settings, name, start=start, later=True)
        return None


def pre_queries(recipe: Recipe, chat: ChatFormat) -> dict[str, str]:
    """The prompts of first instructions, as text, by the system prompt's name ("" for none)."""
    systems: dict[str, str | None] = {one.name: one.text for one in recipe.instruct.systems}
    systems = systems or {"": None}
    return {name: chat.decode(chat.query_prompt((), text)) for name, text in systems.items()}


def journals(home: Path) -> Path:
    """The folder of all journals."""
    return home / JOURNALS


def later_name(recipe: Recipe) -> str:
    """File name of the journal of a recipe's later turns."""
    return f"later-{fingerprint(later_turn_settings(recipe))}.db"


def model_slug(model: str) -> str:
    """A model's name as part of a file name."""
    base = model.rstrip("/").rsplit("/", 1)[-1]
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in base) or "model"


class JournalFolder(NamedTuple):
    """A journal folder, and the generator's revision of its rows."""

    folder: Path
    revision: str


def find_journal(recipe: Recipe, home: Path) -> JournalFolder | None:
    """The newest journal with the settings of this recipe, at any revision."""
    found: list[tuple[float, JournalFolder]] = []
    for path in journals(home).glob(f"{model_slug(recipe.model)}-*/{FIRST}"):
        settings = journaled_settings(path)
        if settings and settings == first_turn_settings(recipe, settings["revision"]):
            found.append((path.stat().st_mtime, JournalFolder(path.parent, settings["revision"])))
    return max(found)[1] if found else None


def journaled_settings(path: Path) -> dict[str, Any] | None:
    """The settings of a journal of first turns; None if it cannot be read."""
    try:
        with Journal(path, readonly=True) as journal:
            settings: dict[str, Any] | None = journal.meta("settings")
            return settings
    except (JournalError, OutputError):
        return None
