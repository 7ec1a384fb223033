"""Runs the judges of one recipe over the rows of one journal.

Labels lie beside the journal, in a file for each judge's fingerprint: a changed judge labels again,
and nothing else does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.dedup.index import NeighborIndex
from magpie_hub.generate.plan import Plan, row_uuid
from magpie_hub.generate.rollout import Tag
from magpie_hub.judges.base import Judge, JudgeContext
from magpie_hub.judges.join import JoinedLabels, open_labels
from magpie_hub.judges.models import JudgeSetup, model_key
from magpie_hub.judges.registry import JUDGES
from magpie_hub.judges.tags import Tagger
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import fingerprint
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label, Labels
from magpie_hub.store.rows import RowStore
from magpie_hub.store.shards import CachedShard
from magpie_hub.store.usage import UsageMeter, Use

if TYPE_CHECKING:
    from magpie_hub.chat.format import ChatFormat
    from magpie_hub.engines.base import Engine
    from magpie_hub.engines.pool import EnginePool

Watch = Callable[[str, int, int], None]
"""Told of a stage's name, rows labelled, and rows to be labelled."""

ChatOf = Callable[[ModelSource], "ChatFormat"]
"""Derives a model's chat format."""


class JudgeRunner:
    """A recipe's judges, at pinned revisions.

    Args:
        recipe: The recipe.
        generator: Its generator.
        folder: The journal's folder.
        home: The folder of packaged models.
        revisions: As `magpie_hub.judges.models.pin_judges` returns them.
        published: Shards of the dataset that are published, which its rows may not repeat.
    """

    def __init__(
        self,
        recipe: Recipe,
        generator: ModelSource,
        folder: Path,
        home: Path,
        revisions: Mapping[str, str],
        published: Sequence[CachedShard] = (),
    ) -> None:
        self._recipe = recipe
        self._generator = generator
        self._folder = folder / "labels"
        setup = JudgeSetup(recipe, generator, home, revisions)
        self._judges: list[Judge] = [
            judge.of(setup)
            for judge in map(JUDGES.__getitem__, recipe.judges.names)
            if issubclass(judge, Judge)
        ]
        self.neighbor_index: NeighborIndex | None = None
        if near := recipe.judges.neighbors:
            plan = Plan(recipe)
            self.neighbor_index = NeighborIndex(
                near,
                revisions[model_key(near)],
                lambda row_id: row_uuid(generator.identity, plan.row(row_id).seed),
                self._folder,
                home,
                published,
            )

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The label file of each judge, named by what determines its labels."""
        settings = {judge.name: judge.settings() for judge in self._judges}
        found = {}
        for judge in self._judges:
            read = {other: settings[other] for other in judge.reads if other in settings}
            name = fingerprint({"judge": judge.name, **settings[judge.name], **read})
            found[judge.name] = self._folder / f"{judge.name}-{name}.db"
        return found

    def check(self) -> None:
        """Looks, before anything is loaded, whether every judge can work here.

        Raises:
            UserError: One cannot; the message names it.
        """
        for judge in self._judges:
            judge.check()
        if self.neighbor_index is not None:
            self.neighbor_index.check()

    async def label(
        self,
        row_store: RowStore,
        rows: Sequence[int],
        engines: EnginePool,
        chat_of: ChatOf,
        say: Callable[[str], None],
        watch: Watch | None = None,
    ) -> None:
        """Labels rows, judge after judge; what has a label keeps it.

        Args:
            row_store: Where the rows' texts are.
            rows: Finished rows that the gates let pass.
            engines: Gives the judges their engines.
            chat_of: Derives a model's chat format.
            say: Told which judge is at work, a line each.
            watch: Told how far each stage is.

        Raises:
            UserError, RunError: As `Judge.label`; what was labelled is kept.
        """
        work = _Work(row_store, rows, engines, chat_of, UsageMeter(row_store.first), say, watch)
        for judge in self._judges:
            with Labels(self.paths[judge.name]) as store:
                if todo := store.missing(rows):
                    await self._label(judge, store, todo, work)
        await self._embed(work)

    async def _label(self, judge: Judge, store: Labels, todo: Sequence[int], work: _Work) -> None:
        store.set_meta("settings", judge.settings())
        work.say(f"{judge.name}: {len(todo)} of {len(work.rows)} rows to label")
        done = len(work.rows) - len(todo)

        def save(labels: Sequence[Label]) -> None:
            nonlocal done
            store.put(labels)
            done += len(labels)
            if work.watch is not None:
                work.watch(judge.name, done, len(work.rows))

        if judge.model is not None:
            await work.engines.rest()
        # The label files of the judges that it reads are there: they came before.
        reads = {name: self.paths[name] for name in judge.reads if name in self.paths}
        with (
            open_labels(reads) as others,
            work.meter.stage(judge.name, judge.model_name, partial(len, store)) as use,
        ):
            context = self._context(judge, others, work, use)
            await judge.label(_Inputs(work.row_store, todo), save, context)

    async def _embed(self, work: _Work) -> None:
        """Embeds what the neighbours of the rows take."""
        index, config = self.neighbor_index, self._recipe.judges.neighbors
        if index is None or config is None or not index.lacks(work.rows):
            return
        await work.engines.rest()
        work.say(f"neighbors: {len(index.missing(work.rows))} of {len(work.rows)} rows to embed")
        with work.meter.stage("neighbors", config.model, lambda: -len(index.missing(work.rows))):
            await index.embed(
                work.rows, lambda row: _input(work.row_store, row).instruction, work.watch
            )

    def _context(
        self, judge: Judge, others: Mapping[str, Labels | None], work: _Work, use: Use
    ) -> JudgeContext:
        model = judge.model

        @asynccontextmanager
        async def start() -> AsyncIterator[Engine]:
            if model is None:
                engine = await work.engines.generator()
                use.engine(engine)
                yield engine
                return
            constrained = judge.constrained
            async with work.engines.other(
                model.pinned, model.options, constrained=constrained
            ) as engine:
                use.engine(engine)
                yield engine

        def label_of(name: str, row_id: int) -> Label | None:
            store = others.get(name)
            return None if store is None else store.get(row_id)

        source = self._generator if model is None else model.pinned
        return JudgeContext(start, lambda: work.chat_of(source), work.engines.beside, label_of)

    @contextmanager
    def tagging(
        self, engine: Engine, chat: ChatFormat
    ) -> Iterator[tuple[Tag | None, Labels | None]]:
        """What tags instructions before they are answered, and where its labels go.

        Args:
            engine: The generator.
            chat: Its chat format.

        Yields:
            Neither if the recipe does not ask for it.
        """
        tags = self._recipe.judges.tags
        if tags is None or not tags.before_responding:
            yield None, None
            return
        tagger = Tagger(engine, chat, self._generator.name, tags.mode)

        async def tag(row_id: int, instruction: str) -> Label:
            return await tagger.label_of(TurnText(row_id, instruction))

        with Labels(self.paths["tags"]) as store:
            yield tag, store

    @contextmanager
    def labels(self, pool: Sequence[int]) -> Iterator[JoinedLabels]:
        """Opens all labels for reading.

        Args:
            pool: Rows that passed the gates; neighbours are looked for among those of them that
                were judged.
        """
        with open_labels(self.paths) as stores:
            table = self.neighbor_index.table(pool) if self.neighbor_index is not None else None
            yield JoinedLabels(stores, table)


@dataclass(frozen=True, slots=True)
class _Work:
    """What one call of `JudgeRunner.label` was given, and its meter."""

    row_store: RowStore
    rows: Sequence[int]
    engines: EnginePool
    chat_of: ChatOf
    meter: UsageMeter
    say: Callable[[str], None]
    watch: Watch | None


class _Inputs(Sequence[TurnText]):
    """Rows as inputs, each read from the journal when it is looked at."""

    def __init__(self, row_store: RowStore, rows: Sequence[int]) -> None:
        self._row_store = row_store
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [_input(self._row_store, row_id) for row_id in self._rows[place]]
        return _input(self._row_store, self._rows[place])


def _input(row_store: RowStore, row_id: int) -> TurnText:
    text = next(row_store.first.texts(row_id, row_id + 1), None)
    if text is None:
        raise KeyError(row_id)
    return text
