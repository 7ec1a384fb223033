"""The `selection` section of a recipe: presets, what is written beside them, what is refused."""

from __future__ import annotations

from typing import get_args

import pytest
import yaml

from magpie_hub.errors import RecipeError
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import recipe_fingerprint
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.recipe.overrides import apply_overrides
from magpie_hub.recipe.selection import PRESETS, Preset, Selection


def recipe(selection: str) -> Recipe:
    return parse_recipe(
        "name: a\ndescription: b\nmodel: c/d\n"
        "judges: {tags: {}, reward: {base: {model: e/f}}, guard: {}, language: true, "
        "neighbors: {}}\n"
        f"selection: {selection}\n",
        "f",
    )


def section(selection: str) -> Selection:
    return recipe(selection).selection


def test_a_preset_fills_in_its_thresholds() -> None:
    card = section("{preset: pro-300k-card}")
    assert (card.min_quality, card.reward_at_least, card.reward_above) == ("average", -10, None)
    assert (card.drop_colon, card.drop_near_duplicates, card.longest) == (True, True, True)
    mix = section("{preset: pro-filter6}").difficulty_mix
    assert mix is not None
    assert (mix.easy, mix.harder) == (0.5, 0.5)


def test_every_preset_is_a_valid_section() -> None:
    assert set(get_args(Preset)) == set(PRESETS)
    for name, keys in PRESETS.items():
        made = Selection.model_validate({"preset": name}).model_dump()
        assert {key: made[key] for key in keys} == dict(keys)


def test_what_is_written_beside_a_preset_wins() -> None:
    written = section("{preset: pro-filter, min_quality: good, reward_above: null, longest: false}")
    assert (written.min_quality, written.reward_above, written.longest) == ("good", None, False)
    assert written.drop_near_duplicates


def test_one_way_to_ask_replaces_the_presets_other() -> None:
    written = section("{preset: pro-filter, reward_at_least: -10}")
    assert (written.reward_above, written.reward_at_least) == (None, -10)
    written = section("{preset: pro-filter6, min_difficulty: hard}")
    assert (written.difficulty_mix, written.min_difficulty) == (None, "hard")


@pytest.mark.parametrize(
    "text",
    [
        "{preset: pro-filter, reward_above: null, min_quality: null}",
        "{preset: notebook, reward_at_least: -9}",
        "{preset: pro-filter6, languages: [en, ZH]}",
    ],
)
def test_a_section_that_is_written_out_reads_as_the_same(text: str) -> None:
    read = recipe(text)
    turned = apply_overrides(read, {"rows": 7}, {})
    assert turned.selection == read.selection
    written = yaml.safe_dump(read.model_dump(mode="json", exclude_unset=True))
    assert recipe_fingerprint(parse_recipe(written, "f")) == recipe_fingerprint(read)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{preset: pro-filter7}", "selection.preset: should be 'air-filter', "),
        ("{preset: [notebook]}", "selection.preset: should be 'air-filter', "),
        ("{min_reward: 3}", "selection.min_reward: unknown key"),
        (
            "{reward_above: -12, reward_at_least: -10}",
            "selection: reward_above and reward_at_least exclude each other; keep one",
        ),
        (
            "{min_difficulty: easy, difficulty_mix: {easy: 0.5, harder: 0.5}}",
            "selection: min_difficulty and difficulty_mix exclude each other; keep one",
        ),
        (
            "{difficulty_mix: {easy: 0.5, harder: 0.4}}",
            "selection.difficulty_mix: the shares add up to 0.9, not to 1",
        ),
        ("{difficulty_mix: {easy: 1.0}}", "selection.difficulty_mix.easy: should be less than 1"),
        ("{reward_above: .nan}", "selection.reward_above: should be a finite number"),
        ("{languages: []}", "selection.languages: .*at least 1 item"),
        ("{languages: [english]}", "selection.languages.0: .*'english'"),
        ("{drop_colon: null}", "selection.drop_colon: should be a valid boolean"),
        ("3", "selection: should be a mapping of keys, not 3"),
    ],
)
def test_what_is_refused_and_how(text: str, line: str) -> None:
    with pytest.raises(RecipeError, match=line) as caught:
        section(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "judges"),
    [
        ("{}", set()),
        ("{drop_colon: true, longest: false}", set()),
        ("{reward_at_least: 0}", {"reward"}),
        ("{reward_above: 0}", {"reward"}),
        ("{reward_difference_above: 0}", {"reward", "base"}),
        ("{languages: [en], require_safe: true}", {"language", "safety"}),
        ("{difficulty_mix: {easy: 0.5, harder: 0.5}}", {"tags"}),
        ("{preset: air-filter}", {"tags", "reward", "base", "neighbors"}),
        ("{preset: pro-filter}", {"tags", "reward", "neighbors"}),
        ("{preset: pro-filter3}", {"reward", "neighbors"}),
    ],
)
def test_a_selection_knows_the_judges_that_it_needs(text: str, judges: set[str]) -> None:
    assert section(text).needs() == judges


def test_a_selection_without_its_judges_is_refused() -> None:
    text = "{name: a, description: b, model: c/d, judges: {reward: {}}, selection: {preset: %s}}"
    with pytest.raises(
        RecipeError, match=r"off: judges\.neighbors, judges\.reward\.base, judges\.t"
    ):
        parse_recipe(text % "air-filter", "f")
