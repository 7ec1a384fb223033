"""What a card says holds for the recipe that was run, whichever it was."""

from __future__ import annotations

from typing import Any

import pytest

from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.release.card.front_matter import read_page
from magpie_hub.release.card.render import render_card
from tests.release import card_data as sample
from tests.release.cards import SMALL, plain


def recipe(more: str = "", turns: int = 1) -> Recipe:
    text = f"name: toy\ndescription: A toy.\nmodel: toy/model\nturns: {turns}\n{more}"
    return parse_recipe(text, "toy")


def card(more: str = "", turns: int = 1, **changes: Any) -> str:
    """A card's text, each run of white space one space."""
    data = plain(turns, recipe=recipe(more, turns), info=SMALL, **changes)
    return " ".join(render_card(data).split())


OFF = "gates: {duplicate: false, rules: {%s}}\n"


def no_gates() -> str:
    from magpie_hub.gates.registry import GATES

    return OFF % ", ".join(f"{name}: false" for name in GATES)


@pytest.mark.parametrize(
    ("more", "says", "not_said"),
    [
        ("", "nothing but its own pre-query template", "a system prompt and"),
        (
            "instruct: {systems: [{name: a, text: Ask.}]}\n",
            "a system prompt and its own pre-query template",
            "nothing but",
        ),
        ("chat: {pre_query: 'User: '}\n", "nothing but a pre-query template", "its own pre-query"),
        (
            "chat: {thinking: true}\n",
            "**Chat template:** the generator's, with thinking on",
            "the recipe's own",
        ),
        ("chat: {template_kwargs: {budget: 5}}\n", "with `budget=5`", "with thinking on"),
        ("quantization: fp8\n", "quantized while it was loaded (`fp8`)", "`awq`"),
        (
            "respond: {temperature: 0.5, top_k: 20, repetition_penalty: 1.1}\n",
            "temperature 0.5, top-p 1.0, top-k 20, repetition penalty 1.1, at most",
            "greedy",
        ),
        ("gates: {before_responding: false}\n", "looked at the words:", "before its response"),
        ("selection: {drop_colon: true}\n", "Of the rows, those were kept", "labelled rows"),
        (
            "selection: {preset: notebook, min_quality: null, reward_above: null, "
            "drop_near_duplicates: false}\n",
            "does not end with a colon",
            "notebook",
        ),
        ("judges: {language: true}\n", "Judges labelled the rows:", "Languages were not detected"),
        ("card: {language: [de]}\n", "Those of this card are what the recipe says.", "- en"),
    ],
)
def test_it_says_what_holds_for_the_recipe(more: str, says: str, not_said: str) -> None:
    text = card(more)
    assert says in text
    assert not_said not in text


def test_without_gates_nothing_has_looked_at_the_words() -> None:
    text = card(no_gates(), turns=3)
    for false in ("the gates", "Of equal first instructions the first row stayed", "by the gates"):
        assert false not in text
    assert "Equal first instructions were not looked for." in text
    judged = card(no_gates() + "judges: {language: true}\n", turns=3)
    assert "Later turns were not looked at." in judged


def test_the_duplicate_rule_is_said_where_no_gate_is_on() -> None:
    text = card(no_gates().replace("duplicate: false", "duplicate: true"))
    assert "Of equal first instructions the first row stayed." in text


def test_a_model_in_a_folder_is_not_offered_to_others() -> None:
    manifest = {**sample.MANIFEST, "model": {"name": "mine", "revision": "local-0123"}}
    text = card(manifest=manifest)
    assert "from_pretrained" not in text


def test_raw_holds_no_rejects_where_there_are_none() -> None:
    stats = plain().stats | {"funnel": {"planned": 4, "rejected": {}, "delivered": 4}}
    text = card(stats=stats)
    assert "those that were rejected" not in text
    assert "holds what was rejected" not in text


@pytest.mark.parametrize(
    ("counts", "languages"),
    [({"EN": 90, "FR": 7, "DE": 3}, ["en", "fr"]), ({"DE": 12}, ["de"]), ({}, None)],
)
def test_languages_are_those_that_were_found(
    counts: dict[str, int], languages: list[str] | None
) -> None:
    stats = plain().stats | {"labels": {"language": {"counts": counts, "missing": 0}}}
    data = plain(recipe=recipe("judges: {language: true}\n"), stats=stats)
    assert read_page(render_card(data)).front.get("language") == languages


@pytest.mark.parametrize(
    ("more", "by"), [("", "no-annotation"), ("judges: {language: true}\n", "machine-generated")]
)
def test_who_annotated_it(more: str, by: str) -> None:
    front = read_page(render_card(plain(recipe=recipe(more)))).front
    assert front["annotations_creators"] == [by]


def test_increments_of_changed_settings_are_not_one_recipes() -> None:
    increments = [{"tag": "a", "draws": "x"}, {"tag": "b", "draws": "x"}]
    same = card(manifest={**sample.MANIFEST, "increments": increments})
    assert "Built at once, the same recipe gives the same rows" in same
    increments[1]["draws"] = "y"
    other = card(manifest={**sample.MANIFEST, "increments": increments})
    assert "Built at once" not in other
    assert "changed in between" in other
