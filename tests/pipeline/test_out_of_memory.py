"""A run whose engine dies of too little memory goes on with fewer slots, and loses no row."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from magpie_hub.engines import factory as choose
from magpie_hub.engines.base import Completion, Engine, Sampling
from magpie_hub.engines.pool import EnginePool
from magpie_hub.errors import EngineError, OutOfMemory
from magpie_hub.models.source import ModelSource
from magpie_hub.pipeline.loop import complete
from magpie_hub.pipeline.run import FIRST, Run, open_recipe
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.store.journal import Journal
from tests.tiny import write_tiny_model, write_tiny_recipe
from tests.toy import ToyEngine

pytestmark = pytest.mark.engine

GONE = "vLLM stopped: CUDA out of memory. Tried to allocate 2.00 GiB."


class Dying:
    """An engine that answers so many requests, runs out of memory, and is dead from then on.

    Args:
        engine: Whose answers they are.
        answers: How many.
        tags_only: Whether requests without a pattern do not count, and are always answered.
    """

    def __init__(self, engine: Engine, answers: int, tags_only: bool) -> None:
        self.info, self.stats = engine.info, engine.stats
        self.closed = False
        self._engine, self._answers, self._tags_only = engine, answers, tags_only

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        done = await self._engine.generate(prompt, sampling)
        if self._tags_only and sampling.pattern is None and self._answers >= 0:
            return done
        self._answers -= 1
        if self._answers < 0:
            raise OutOfMemory(GONE)
        return done

    async def rest(self) -> None:
        await self._engine.rest()

    async def wake(self) -> None:
        await self._engine.wake()

    async def close(self) -> None:
        self.closed = True
        await self._engine.close()


class Starts:
    """What was started with how many slots, and how many answers each engine has in it."""

    def __init__(self) -> None:
        self.answers: dict[str, list[int]] = {}
        self.tags_only = False
        self.slots: dict[str, list[int | None]] = {}
        self.engines: list[Dying] = []

    def dies(self, model: Path, *answers: int) -> None:
        self.answers[str(model)] = list(answers)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    """Watches every engine; one whose model `dies` has the answers that were said, in turn."""
    start, seen = choose.start_engine, Starts()

    async def start_watched(source: ModelSource, options: EngineOptions, *rest: Any, **more: Any):
        assert all(engine.closed for engine in seen.engines if engine._answers < 0), (
            "what a dead engine holds is given back first"
        )
        seen.slots.setdefault(source.name, []).append(options.max_num_seqs)
        engine = await start(source, options, *rest, **more)
        left = seen.answers.get(source.name)
        if left:
            engine = Dying(engine, left.pop(0), seen.tags_only)
            seen.engines.append(engine)
        return engine

    monkeypatch.setattr(choose, "start_engine", start_watched)
    return seen


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


Make = Callable[..., Run]


@pytest.fixture
def make(tmp_path: Path, model: Path) -> Make:
    def made(home: str = "home", generator: Path = model, **fields: object) -> Run:
        path = tmp_path / "tiny.magpie.yaml"
        write_tiny_recipe(path, generator, max_num_seqs=8, **{"rows": 30, **fields})
        return Run.open(open_recipe(path), tmp_path / home)

    return made


def run(job: Run) -> list[str]:
    said: list[str] = []
    complete(job, say=said.append)
    return said


def rows(job: Run) -> dict[int, tuple[str, str]]:
    found = (
        sqlite3.connect(job.folder / FIRST)
        .execute("SELECT row_id, instruction, response FROM turns")
        .fetchall()
    )
    assert len(found) == len({row for row, *_ in found}), "none is there twice"
    return {row: (instruction, response) for row, instruction, response in found}


def test_two_deaths_cost_no_row(make: Make, model: Path, starts: Starts) -> None:
    whole = make("undisturbed")
    run(whole)
    starts.slots.clear()
    starts.dies(model, 20, 11)
    job = make()
    said = run(job)
    assert starts.slots == {str(model): [8, 4, 2]}
    delivery = job.delivery()
    assert delivery is not None
    assert list(delivery.row_ids) == list(range(30))
    kept, want = rows(job), rows(whole)
    assert {row: kept[row] for row in range(30)} == {row: want[row] for row in range(30)}
    lines = [line for line in said if "ran out of memory" in line]
    assert len(lines) == 2
    assert all(GONE[:-1] in line and "\n" not in line for line in lines)
    assert "with 8 slots" in lines[0]
    assert "starts again with 4" in lines[0]
    with Journal(job.folder / FIRST, readonly=True) as journal:
        assert [session["slots"] for session in journal.sessions()] == [8, 4, 2]


def test_it_is_given_up_after_a_few_and_nothing_is_lost(
    make: Make, model: Path, starts: Starts
) -> None:
    starts.dies(model, 9, 9, 9, 9)
    job = make()
    with pytest.raises(EngineError) as gone:
        run(job)
    line = str(gone.value)
    assert not isinstance(gone.value, OutOfMemory)
    assert "\n" not in line
    assert "8, 4, 2, 1 slots" in line
    assert "the same command continues from there" in line
    kept = rows(job)
    assert kept
    run(job)
    assert kept.items() <= rows(job).items()
    assert job.progress().passed >= 30


def test_a_judges_engine_backs_off_by_itself(
    make: Make, model: Path, tmp_path: Path, starts: Starts
) -> None:
    tagger = write_tiny_model(tmp_path / "tagger", seed=5, context=8192)
    starts.dies(tagger, 2)
    job = make(rows=3, judges={"tags": {"model": str(tagger)}})
    said = run(job)
    assert starts.slots[str(model)] == [8], "the generator has nothing to do with it"
    assert len(starts.slots[str(tagger)]) == 2
    assert starts.slots[str(tagger)][1] == 8, "half of what a CPU has by default"
    assert sum("ran out of memory" in line for line in said) == 1
    assert job.delivery() is not None


def test_a_generator_that_dies_while_it_tags_goes_on(
    make: Make, model: Path, tmp_path: Path, starts: Starts
) -> None:
    roomy = write_tiny_model(tmp_path / "roomy", context=8192)
    starts.dies(roomy, 1)
    starts.tags_only = True
    job = make(rows=3, generator=roomy, judges={"tags": {}})
    run(job)
    assert starts.slots == {str(roomy): [8, 4]}
    assert job.delivery() is not None


def test_a_restart_that_fails_says_what_came_before(
    make: Make, model: Path, starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts.dies(model, 9)
    watched = choose.start_engine

    async def start_once(*rest: Any, **more: Any) -> Any:
        if starts.slots:
            raise EngineError("vLLM did not start: Free memory on device is less than desired.")
        return await watched(*rest, **more)

    monkeypatch.setattr(choose, "start_engine", start_once)
    with pytest.raises(EngineError, match="does not start again after it ran out of memory"):
        run(make())


def test_from_the_second_death_on_a_step_has_fewer_tokens_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[int | None, dict[str, Any]]] = []

    async def start(source: ModelSource, options: EngineOptions, *_: Any, **more: Any) -> ToyEngine:
        asked.append((options.max_num_seqs, options.engine_args))
        tokens = options.engine_args.get("max_num_batched_tokens", 16384)
        engine = ToyEngine(slots=2 * (options.max_num_seqs or 512))
        settings: dict[str, object] = {"max_num_batched_tokens": tokens}
        engine.info = replace(engine.info, settings=settings)
        return engine

    async def main() -> None:
        source = ModelSource("a/b", "0" * 40, "hub")
        options = EngineOptions(data_parallel_size=2, engine_args={"seed": 7})
        async with EnginePool(
            source,
            options,
            tmp_path,
            say=lambda text: None,
            rows=1000,
            constrained=False,
            shares=False,
            main_guarded=False,
            started=lambda engine: None,
        ) as engines:
            for _ in range(4):
                engine = await engines.generator()
                assert engine is await engines.generator()
                await engines.back_off(OutOfMemory(GONE))
                assert engine.closed  # type: ignore[attr-defined]

    monkeypatch.setattr(choose, "start_engine", start)
    with pytest.raises(EngineError, match="512, 256, 128, 64 slots"):
        asyncio.run(main())
    assert asked == [
        (None, {"seed": 7}),
        (256, {"seed": 7}),
        (128, {"seed": 7, "max_num_batched_tokens": 4096}),
        (64, {"seed": 7, "max_num_batched_tokens": 2048}),
    ]
