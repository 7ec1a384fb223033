"""Another model than a recipe's own gets limits that fit it, and a line that says which."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.models.source import ModelSource
from magpie_hub.pipeline.run import open_recipe
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.limits import TEMPLATE_TOKENS, fit_limits
from magpie_hub.recipe.load import load_recipe
from magpie_hub.recipe.variants import find_recipe
from tests.tiny import write_tiny_model

PRO = load_recipe(find_recipe("pro-mt"))


def limits(recipe: Recipe) -> tuple[int, int, int]:
    return recipe.instruct.max_tokens, recipe.respond.max_tokens, recipe.later_turns.max_tokens


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("tiny"), context=1024))


def test_a_model_like_the_recipes_own_is_drawn_as_the_recipe_says() -> None:
    assert fit_limits(PRO, context=131_072, parameters=8_000_000_000) == (PRO, [])
    assert fit_limits(PRO, context=None, parameters=None) == (PRO, [])


def test_a_small_model_is_kept_from_talking_in_circles() -> None:
    fitted, changes = fit_limits(PRO, context=8192, parameters=135_000_000)
    assert limits(fitted) == (256, 512, 256)
    assert max(point.temperature for point in fitted.instruct.grid.points) <= 1.0
    assert fitted.respond.temperature == 0.7
    assert fitted.oversample == 1
    assert "respond.max_tokens: 4096 → 512" in changes
    assert "temperatures of the grid: at most 1.25 → 1" in changes
    assert fit_limits(fitted, context=8192, parameters=135_000_000) == (fitted, [])


@given(
    context=st.integers(400, 200_000),
    turns=st.integers(1, 8),
    parameters=st.sampled_from([None, 10**6, 10**9, 10**11]),
)
def test_a_conversation_fits_the_context_and_no_limit_is_raised(
    context: int, turns: int, parameters: int | None
) -> None:
    recipe = PRO.model_copy(update={"turns": turns})
    fitted, _ = fit_limits(recipe, context=context, parameters=parameters)
    first, answer, later = limits(fitted)
    tokens = first + answer + (turns - 1) * (later + answer)
    # Of a context that is much too short some words are left all the same.
    assert tokens + TEMPLATE_TOKENS <= max(context, 48 + TEMPLATE_TOKENS)
    assert all(0 < new <= old for new, old in zip(limits(fitted), limits(recipe), strict=True))


def test_what_was_changed_is_said_once_and_stands_in_the_recipe(
    tiny: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "magpie_hub"):
        recipe = open_recipe("pro-mt", {"model": tiny}, {})
        assert open_recipe("pro-mt", {"model": tiny}, {}) == recipe
    assert limits(recipe) == (128, 256, 128)
    (record,) = caplog.records
    line = record.getMessage()
    assert line.startswith(f"pro-mt with {tiny}: ")
    assert "instruct.max_tokens: 2048 → 128" in line
    assert "settings={…}" in line
    assert "\n" not in line


def test_what_was_set_for_this_run_stays(tiny: str) -> None:
    settings = {
        "respond.max_tokens": 700,
        "respond.temperature": 0.0,
        "instruct.grid.points": [{"rows": 1, "temperature": 1.3}],
        "instruct.grid.rows": 1,
    }
    recipe = open_recipe("pro-mt", {"model": tiny, "settings": settings, "oversample": 2.0}, {})
    assert limits(recipe) == (128, 700, 128)
    assert (recipe.respond.temperature, recipe.oversample) == (0.0, 2.0)
    assert recipe.instruct.grid.points[0].temperature == 1.3


def test_the_packaged_small_model_is_known_for_small(small_model: ModelSource) -> None:
    recipe = open_recipe("pro-mt", {"model": small_model.name}, {})
    assert limits(recipe) == (256, 512, 256)


def test_a_model_that_cannot_be_had_changes_nothing(tmp_path: Path) -> None:
    recipe = open_recipe("pro-mt", {"model": str(tmp_path / "nowhere")}, {})
    assert limits(recipe) == limits(PRO)
