"""Judging: the judges of one recipe over the rows of one journal.

Which judges there are comes from the recipe and its panel. Labels lie beside the journal, a file
for each judge's fingerprint: a changed judge labels anew, and nothing else does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.dedup.index import NeighborIndex
from magpie_hub.engines.options import EngineOptions
from magpie_hub.generate.plan import Plan, row_uuid
from magpie_hub.generate.rollout import Tag
from magpie_hub.judges.base import Judge, JudgeInput
from magpie_hub.judges.base_answer import BaseAnswerJudge
from magpie_hub.judges.join import JoinedLabels, open_labels
from magpie_hub.judges.language import LanguageJudge
from magpie_hub.judges.models import judge_models, model_key, tags_itself
from magpie_hub.judges.reward import RewardJudge
from magpie_hub.judges.safety import SafetyJudge
from magpie_hub.judges.scorers.base import Scorer, open_scorer
from magpie_hub.judges.tags import Tags, TagsJudge
from magpie_hub.models.source import ModelSource, pin
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import fingerprint
from magpie_hub.recipe.judges import LoadedModelConfig, ModelConfig
from magpie_hub.store.labels import Label, Labels
from magpie_hub.store.rows import RowStore
from magpie_hub.store.shards import CachedShard
from magpie_hub.store.usage import UsageMeter, Use

if TYPE_CHECKING:
    from magpie_hub.chat.format import ChatFormat
    from magpie_hub.engines.base import Engine
    from magpie_hub.engines.pool import EnginePool

ENGINE_JUDGES = ("tags", "base", "safety")
"""Judges whose model runs in an engine."""

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
        self._home = home
        self._revisions = revisions
        self._run: _Run | None = None
        models = judge_models(recipe)
        names = [name for name in recipe.judges.names if name != "neighbors"]
        self._judges = {name: self._make(name, models.get(name)) for name in names}
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

    @property
    def paths(self) -> dict[str, Path]:
        """The label file of each judge."""
        settings = {name: self._settings(name) for name in self._judges}
        if "base" in settings:
            # Its answers are what the reward judge scores.
            settings["reward"]["base"] = settings["base"]
        return {
            name: self._folder / f"{name}-{fingerprint({'judge': name, **said})}.db"
            for name, said in settings.items()
        }

    def _settings(self, name: str) -> dict[str, Any]:
        """What determines a judge's labels, beside how the generator computes.

        That names the folder in which labels lie already, dtype among it, which judges share; and
        a generator that tags is loaded as it is.
        """
        settings, model = self._judges[name].settings(), judge_models(self._recipe).get(name)
        if model is None or name not in ENGINE_JUDGES:
            return settings
        assert isinstance(model, LoadedModelConfig)
        loaded = {"quantization": model.quantization, "max_model_len": model.max_model_len}
        return settings | loaded

    def check(self) -> None:
        """Looks, before anything is loaded, whether every judge can work here.

        Raises:
            UserError: One cannot; the message names it.
        """
        from magpie_hub.engines.factory import plan_engine

        models = judge_models(self._recipe)
        for name, judge in self._judges.items():
            judge.check()
            model = models.get(name)
            if model is not None and name in ENGINE_JUDGES:
                assert isinstance(model, LoadedModelConfig)
                source = pin(str(model.model), self._revisions[model_key(model)])
                plan_engine(source, self._options(model), constrained=name == "tags")
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
            book: Where the rows' words are.
            rows: Finished rows that the gates let pass.
            engines: Gives the judges their engines.
            chat_of: Derives a model's chat format.
            say: Told which judge is at work, a line each.
            watch: Told how far each stage is.

        Raises:
            UserError, RunError: As `Judge.label`; what was labelled is kept.
        """
        paths, meter = self.paths, UsageMeter(row_store.first)
        for name, judge in self._judges.items():
            with Labels(paths[name]) as store:
                todo = store.missing(rows)
                if not todo:
                    continue
                store.set_meta("settings", self._settings(name))
                say(f"{name}: {len(todo)} of {len(rows)} rows to label")
                counted = _Counted(store, name, len(rows) - len(todo), len(rows), watch)
                # The file of base answers is there once they have been asked for, just before.
                reads = name == "reward" and "base" in paths
                base = Labels(paths["base"], readonly=True) if reads else None
                if name in judge_models(self._recipe):
                    await engines.rest()
                try:
                    with meter.stage(name, self._model_name(name), partial(len, store)) as use:
                        self._run = _Run(engines, chat_of, use, base)
                        await judge.label(_Subjects(row_store, todo), counted.save)
                finally:
                    self._run = None
                    if base is not None:
                        base.close()
        if self.neighbor_index is not None and self.neighbor_index.lacks(rows):
            await engines.rest()
            near, neighbor_index = judge_models(self._recipe)["neighbors"], self.neighbor_index
            fresh = len(neighbor_index.missing(rows))
            say(f"neighbors: {fresh} of {len(rows)} rows to embed")
            with meter.stage(
                "neighbors", str(near.model), lambda: -len(neighbor_index.missing(rows))
            ):
                await neighbor_index.embed(
                    rows, lambda row: _subject(row_store, row).instruction, watch
                )

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
        judge = Tags(engine, chat, self._generator.name, tags.mode)

        async def tag(row_id: int, instruction: str) -> Label:
            return await judge.of(JudgeInput(row_id, instruction))

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

    def _make(self, name: str, model: ModelConfig | None) -> Judge:
        if name == "language":
            return LanguageJudge()
        if name == "tags":
            tags = self._recipe.judges.tags
            assert tags is not None
            source = (self._generator.name, self._generator.revision)
            if model is not None:
                source = (str(model.model), self._revisions[model_key(model)])
            return TagsJudge(*source, tags.mode, lambda: self._engine("tags"), self._tagger_chat)
        assert isinstance(model, LoadedModelConfig)
        revision, home = self._revisions[model_key(model)], self._home
        if name == "reward":
            return RewardJudge(
                str(model.model),
                revision,
                home=home,
                options=self._options(model),
                scorer=self._open_scorer,
                base_answer=self._base_answer if "base" in self._recipe.judges.names else None,
            )
        made = SafetyJudge if name == "safety" else BaseAnswerJudge
        trust = self._recipe.trust_model_code
        return made(
            str(model.model),
            revision,
            start=lambda: self._engine(name),
            home=home,
            trust_remote_code=trust,
        )

    def _model_name(self, name: str) -> str:
        """The model of a judge; "" for one without."""
        if name == "tags" and tags_itself(self._recipe):
            return self._generator.name
        model = judge_models(self._recipe).get(name)
        return "" if model is None else str(model.model)

    def _options(self, model: LoadedModelConfig) -> EngineOptions:
        """How a judge's model is loaded: as the recipe says of it, else as of the generator."""
        recipe = self._recipe
        return EngineOptions(
            engine="auto" if recipe.engine == "server" else recipe.engine,
            dtype=recipe.dtype,
            quantization=model.quantization,
            max_model_len=model.max_model_len,
            tensor_parallel_size=model.tensor_parallel_size or recipe.tensor_parallel_size,
            gpu_memory_utilization=recipe.gpu_memory_utilization,
            enforce_eager=recipe.enforce_eager,
            in_process=recipe.in_process,
            trust_remote_code=recipe.trust_model_code,
        )

    def _base_answer(self, row_id: int) -> str | None:
        assert self._run is not None
        assert self._run.base is not None
        label = self._run.base.get(row_id)
        return None if label is None or label.failure is not None else label.values["base_output"]

    def _open_scorer(self, source: ModelSource, options: EngineOptions, most: int) -> Scorer:
        assert self._run is not None
        return open_scorer(source, self._run.engines.beside(options), most)

    @asynccontextmanager
    async def _engine(self, name: str) -> AsyncIterator[Engine]:
        """The engine that a judge asks for while it labels."""
        assert self._run is not None
        if name == "tags" and tags_itself(self._recipe):
            engine = await self._run.engines.generator()
            self._run.use.engine(engine)
            yield engine
            return
        model = judge_models(self._recipe)[name]
        assert isinstance(model, LoadedModelConfig)
        source = pin(str(model.model), self._revisions[model_key(model)])
        options = self._options(model)
        constrained = name == "tags"
        async with self._run.engines.other(source, options, constrained=constrained) as engine:
            self._run.use.engine(engine)
            yield engine

    def _tagger_chat(self) -> ChatFormat:
        assert self._run is not None
        model = judge_models(self._recipe).get("tags")
        if model is None:
            return self._run.chat_of(self._generator)
        return self._run.chat_of(pin(str(model.model), self._revisions[model_key(model)]))


class _Run:
    """What the judges work with while they label."""

    def __init__(self, engines: EnginePool, chat_of: ChatOf, use: Use, base: Labels | None) -> None:
        self.engines = engines
        self.chat_of = chat_of
        self.use = use
        self.base = base


class _Subjects(Sequence[JudgeInput]):
    """Rows as subjects, each read from the journal when it is looked at."""

    def __init__(self, row_store: RowStore, rows: Sequence[int]) -> None:
        self._book = row_store
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [_subject(self._book, row_id) for row_id in self._rows[place]]
        return _subject(self._book, self._rows[place])


def _subject(row_store: RowStore, row_id: int) -> JudgeInput:
    record = row_store.get(row_id, 1)
    assert record is not None
    return JudgeInput(row_id, record.instruction, record.response or "")


class _Counted:
    """Saves labels and says how many there are."""

    def __init__(
        self, store: Labels, stage: str, done: int, total: int, watch: Watch | None
    ) -> None:
        self._store = store
        self._stage = stage
        self._done = done
        self._total = total
        self._watch = watch

    def save(self, labels: Sequence[Label]) -> None:
        self._store.put(labels)
        self._done += len(labels)
        if self._watch is not None:
            self._watch(self._stage, self._done, self._total)
