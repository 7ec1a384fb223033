"""A job: a recipe opened for one run, and the one function that all doors generate through.

The command line, the Python API, the `datasets` builder and a schedule all open a `Job`, ask it
for `missing` rows, `run` it, and read its `book`. What is there already is never generated again;
when enough rows pass, neither model nor engine is touched.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from magpie_hub.book import Book
from magpie_hub.chat.format import ChatFormat, ChatOptions
from magpie_hub.delivery import wanted_rows
from magpie_hub.engine.options import EngineOptions
from magpie_hub.errors import DeviceError, JournalError, OutputError, RecipeError
from magpie_hub.gates import GateSet, build_gates
from magpie_hub.generate import Ledger, Progress, Watcher, grow
from magpie_hub.home import home as default_home
from magpie_hub.journal import IN_MEMORY, Journal
from magpie_hub.models import ModelSource, is_remote, pin
from magpie_hub.plan import Plan
from magpie_hub.recipe.fingerprint import fingerprint, first_turn_settings, later_turn_settings
from magpie_hub.recipe.knobs import turn_knobs
from magpie_hub.recipe.load import load_recipe
from magpie_hub.recipe.model import Recipe
from magpie_hub.recipe.variants import find_recipe, variant_names
from magpie_hub.rollout import Rollouts

Say = Callable[[str], None]
"""Takes one line for the person who waits."""

FIRST = "first.db"


def open_recipe(
    name: str | Path,
    knobs: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
    how: str = "{name}",
) -> Recipe:
    """A variant's or a path's recipe, with this run's knobs turned and everything checked.

    Args:
        name: Variant name or recipe path.
        knobs: Keywords or options by name; None values are not given.
        environment: For ``MAGPIE_*`` variables.
        how: How the caller spells a knob in messages: "{name}" or "{option}".

    Raises:
        UserError: No such recipe, or something in it or in the knobs is refused.
    """
    path = find_recipe(name)
    recipe = load_recipe(path)
    try:
        build_gates(recipe.gates.rules)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None
    return turn_knobs(recipe, knobs or {}, environment, how)


@dataclass(frozen=True, slots=True)
class Job:
    """A recipe with its generator pinned and its journals found.

    Attributes:
        recipe: With this run's knobs.
        source: The generator at a pinned revision.
        home: The folder of all journals and packaged models.
        gates: The recipe's gates.
    """

    recipe: Recipe
    source: ModelSource
    home: Path
    gates: GateSet

    @classmethod
    def open(cls, recipe: Recipe, home: Path | None = None) -> Job:
        """Pins the generator and finds the journals. Loads nothing heavy, writes nothing.

        A recipe that names no revision goes on with the revision that its rows were begun with,
        so that a commit to the model's repository does not orphan them.

        Raises:
            DeviceError: The generator cannot run here, by what the recipe says it needs.
            ModelError: The generator cannot be found or reached.
        """
        home = home or default_home()
        revision = recipe.revision
        if revision is None and is_remote(recipe.model):
            begun = find_journal(recipe, home)
            if begun is None:
                _check_memory(recipe)
            else:
                revision = begun.revision
        source = pin(recipe.model, revision)
        return cls(recipe, source, home, build_gates(recipe.gates.rules))

    @property
    def folder(self) -> Path:
        """The folder of the journals of these first turns."""
        settings = first_turn_settings(self.recipe, self.source.revision)
        return journals(self.home) / f"{model_slug(self.recipe.model)}-{fingerprint(settings)}"

    @property
    def wanted(self) -> int:
        """Rows that must pass."""
        return wanted_rows(self.recipe)

    @contextmanager
    def book(self, *, writable: bool = False) -> Iterator[Book]:
        """The job's rows, read from (or opened for writing in) its journals.

        Raises:
            OutputError: They cannot be opened; a book that nobody has begun cannot be read.
        """
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(Journal(self.folder / FIRST, readonly=not writable))
            later = None
            if self.recipe.turns > 1:
                path = self.folder / later_name(self.recipe)
                if writable or path.exists():
                    later = stack.enter_context(Journal(path, readonly=not writable))
                else:
                    later = stack.enter_context(Journal(IN_MEMORY))
            yield Book(first, later, self.recipe.turns)

    def progress(self) -> Progress:
        """What the journals hold for this recipe; no rows at all if nobody has begun."""
        progress = Progress(self.wanted)
        if (self.folder / FIRST).exists():
            with self.book() as book:
                ledger = Ledger(book, self.wanted)
                progress.passed, progress.settled = ledger.passed, ledger.settled
                progress.reasons = ledger.reasons
        return progress

    async def run(
        self, *, say: Say, watch: Watcher | None = None, main_guarded: bool = False
    ) -> Progress:
        """Generates what is missing. The one way in which rows come to be.

        Waits while another process generates the same rows, and then goes on from where it ended.

        Args:
            say: Told what is going on, a line each.
            watch: Told how far it is, twice a second.
            main_guarded: Whether the main module may be imported again without harm, as the
                command's may: then an engine may have a process of its own.

        Raises:
            UserError: The model, its chat template or the device will not do.
            RunError: The run had to stop; finished turns are in the journal.
        """
        from magpie_hub.engine.choose import plan_engine

        done = self.progress()
        if done.passed >= self.wanted:
            return done
        # What may be refused is asked for before anything is written.
        plan_engine(self.source, engine_options(self.recipe))
        chat = load_chat(self.recipe, self.source, self.home)
        if self.recipe.turns > 1:
            # Raises if the template takes a single turn only.
            assert chat.next_query
        with self._lock(say), self.book(writable=True) as book:
            self._describe(book, chat)
            ledger = Ledger(book, self.wanted)
            if ledger.done:
                return self.progress()
            return await self._generate(book, ledger, chat, say, watch, main_guarded)

    async def _generate(
        self,
        book: Book,
        ledger: Ledger,
        chat: ChatFormat,
        say: Say,
        watch: Watcher | None,
        main_guarded: bool,
    ) -> Progress:
        from magpie_hub.engine.choose import start_engine

        if ledger.settled:
            say(f"{ledger.passed} of {ledger.wanted} rows are in the journal; going on from there")
        left = ledger.wanted - ledger.passing
        engine = await start_engine(
            self.source,
            engine_options(self.recipe),
            self.home,
            say=say,
            rows=left,
            main_guarded=main_guarded,
        )
        try:
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
            for journal in filter(None, (book.first, book.later)):
                journal.begin_session(session)
            rollouts = Rollouts(Plan(self.recipe), chat, engine, self.gates, book)
            return await grow(
                ledger, rollouts, engine, min_yield=self.recipe.min_yield, watch=watch
            )
        finally:
            await engine.close()

    def _describe(self, book: Book, chat: ChatFormat) -> None:
        """Writes down what the journals hold, so that they can be found again and explained.

        The rows of one journal are drawn with one chat format.
        """
        known, derived = book.first.meta("chat"), json.loads(json.dumps(chat.to_json()))
        if known is not None and known != derived:
            raise JournalError(
                f"{book.first.path}: these rows were drawn with another chat format than the one "
                "derived now (another version of transformers, most likely); use that version, or "
                "set another seed to begin a new set"
            )
        book.first.set_meta("chat", derived)
        book.first.set_meta("settings", first_turn_settings(self.recipe, self.source.revision))
        if book.later is not None:
            book.later.set_meta("settings", later_turn_settings(self.recipe))

    @contextmanager
    def _lock(self, say: Say) -> Iterator[None]:
        """Keeps a second writer waiting, and tells it why."""
        path = self.folder / "writer.lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(path)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                say(f"another process is generating these rows; waiting for it ({path})")
                lock.acquire()
        except OSError as error:
            raise OutputError(
                f"{self.folder}: the journal's folder cannot be written ({error.strerror}); "
                "set MAGPIE_HOME to a folder that can"
            ) from error
        try:
            yield
        finally:
            lock.release()


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


def engine_options(recipe: Recipe) -> EngineOptions:
    """The engine's part of a recipe."""
    fields = EngineOptions.__dataclass_fields__
    return EngineOptions(**{name: getattr(recipe, name) for name in fields})


def load_chat(recipe: Recipe, source: ModelSource, home: Path) -> ChatFormat:
    """Derives the generator's chat format, with the recipe's overrides.

    Raises:
        ModelError: There is no tokenizer to be had.
        ChatFormatError: Its template cannot be taken apart.
    """
    from magpie_hub.chat.derive import derive
    from magpie_hub.models import fetch_tokenizer, generation_eos, load_tokenizer

    local = fetch_tokenizer(source, home, trust_remote_code=recipe.trust_remote_code)
    tokenizer = load_tokenizer(local, trust_remote_code=recipe.trust_remote_code)
    options = ChatOptions(**recipe.chat.model_dump())
    return derive(tokenizer, generation_eos=generation_eos(local), options=options)


def _check_memory(recipe: Recipe) -> None:
    """Refuses a generator too large for this machine before the Hub is even asked for it."""
    if recipe.memory_gib is None or recipe.engine == "server" or recipe.base_url is not None:
        return
    from magpie_hub.engine.device import GIB, find_device, usable_bytes

    device = find_device()
    usable = usable_bytes(engine_options(recipe), device, len(device.gpus)) / GIB
    if usable < recipe.memory_gib:
        small = ", ".join(name for name in variant_names() if name.startswith("smol"))
        raise DeviceError(
            f"{recipe.name}: {recipe.model} needs {recipe.memory_gib:g} GiB of device memory, and "
            f"{usable:.0f} GiB can be used of {device.label}; name a smaller model (model), a "
            f"server that has it (engine server, base_url), or a variant that runs here ({small})"
        )


class Found(NamedTuple):
    """A journal folder, and the generator's revision that its rows were drawn with."""

    folder: Path
    revision: str


def find_journal(recipe: Recipe, home: Path) -> Found | None:
    """The newest journal that holds just what this recipe draws, at whatever revision."""
    found: list[tuple[float, Found]] = []
    for path in journals(home).glob(f"{model_slug(recipe.model)}-*/{FIRST}"):
        with Journal(path, readonly=True) as journal:
            settings = journal.meta("settings")
        if settings and settings == first_turn_settings(recipe, settings["revision"]):
            found.append((path.stat().st_mtime, Found(path.parent, settings["revision"])))
    return max(found)[1] if found else None
