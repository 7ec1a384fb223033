"""What changes a judge's answers is in the name of its labels' file; nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from magpie_hub.judges.models import pin_judges
from magpie_hub.pipeline.run import Run, open_recipe
from tests.judges.tiny_judges import write_guard_model
from tests.tiny import write_tiny_model


@pytest.fixture
def judged(recipe: Path, model: Path, reward_model: Path, tmp_path: Path) -> Path:
    """A recipe with every judge that has a model, none of them the generator."""
    other = write_tiny_model(tmp_path / "other", seed=3)
    judges = {
        "tags": {"model": str(other)},
        "language": True,
        "reward": {"model": str(reward_model), "base": {"model": str(other)}},
        "guard": {"model": str(write_guard_model(tmp_path / "guard"))},
    }
    recipe.write_text(yaml.safe_dump({**yaml.safe_load(recipe.read_text()), "judges": judges}))
    return recipe


def files(recipe: Path, **settings: Any) -> dict[str, Path]:
    """Each judge's label file, by judge."""
    run = Run.open(open_recipe(recipe, {"settings": settings}))
    return run.judges(pin_judges(run.recipe, {})).paths


def changed(recipe: Path, **settings: Any) -> set[str]:
    before, after = files(recipe), files(recipe, **settings)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("key", "judges"),
    [
        ("judges.tags", {"tags"}),
        # The reward judge scores what the base model says.
        ("judges.reward.base", {"base", "reward"}),
        ("judges.reward", {"reward"}),
        ("judges.guard", {"safety"}),
    ],
)
def test_how_a_judge_is_loaded_names_its_labels(judged: Path, key: str, judges: set[str]) -> None:
    assert changed(judged, **{f"{key}.quantization": "fp8"}) == judges
    assert changed(judged, **{f"{key}.max_model_len": 300}) == judges
    assert changed(judged, **{f"{key}.tensor_parallel_size": 2}) == set()


def test_the_mode_of_tags_names_their_labels(judged: Path) -> None:
    assert changed(judged, **{"judges.tags.mode": "explained"}) == {"tags"}


def test_what_judges_take_from_the_generator_names_the_folder_of_all_labels(judged: Path) -> None:
    everything = set(files(judged))
    assert everything == {"tags", "language", "base", "reward", "safety"}
    assert changed(judged, dtype="float16") == everything
    assert changed(judged, trust_model_code=True) == everything


def test_rows_gates_and_thresholds_name_no_labels(judged: Path) -> None:
    assert changed(judged, rows=50) == set()
    assert changed(judged, **{"gates.duplicate": True}) == set()
    assert changed(judged, **{"selection.min_quality": "good"}) == set()
