"""The dataset card: what a reader finds in it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from magpie_hub.gates.registry import GATES
from magpie_hub.judges.registry import JUDGES
from magpie_hub.recipe.judges import Judges
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.recipe.selection import Selection
from magpie_hub.release.card import funnel
from magpie_hub.release.card.columns import field_rows
from magpie_hub.release.card.front_matter import read_page
from magpie_hub.release.card.render import block_names, render_card
from magpie_hub.release.schema import arrow_schema, sharegpt_schema
from magpie_hub.selection import rules
from magpie_hub.selection.select import LEFT_OUT
from tests.release import card_data as sample
from tests.release.cards import plain, sections
from tests.release.test_escape import inside, parse


def test_it_is_whole(text: str) -> None:
    assert sections(text) == [
        "Quick start",
        "Variants",
        "Examples",
        "How it was made",
        "From planned to delivered",
        "In pictures",
        "Statistics",
        "Fields",
        "Limits",
        "Changelog",
        "Citation",
    ]
    assert "More Information Needed" not in text
    assert text.index("**Licence") < text.index("A toy of two turns.")
    assert text.count("\n\n\n") == 0


def test_a_plain_set_has_no_empty_sections() -> None:
    text = render_card(plain(examples=()))
    assert sections(text) == [
        "Quick start",
        "How it was made",
        "From planned to delivered",
        "Statistics",
        "Fields",
        "Limits",
        "Citation",
    ]
    assert "4 conversations of 1 turn each" in text
    headings = [token for token in parse(read_page(text).body) if token.type == "heading_open"]
    assert {token.tag for token in headings} == {"h1", "h2", "h3"}


def test_loading_is_shown_with_the_pinned_revision(text: str) -> None:
    assert 'load_dataset("me/magpie-toy", split="train", revision="data-3f2a9c0d1e2f")' in text
    assert 'from_pretrained("toy/model")' in text
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(block, "quick start", "exec")


def test_without_a_repository_there_is_a_placeholder() -> None:
    text = render_card(plain(repo_id=None))
    assert 'load_dataset("<namespace>/magpie-toy"' in text
    assert "--repo-type dataset" in text
    assert "author  =" not in text


def test_numbers_are_those_of_the_statistics(text: str) -> None:
    for said in (
        "**4 conversations of 2 turns each**, about 8,120 tokens",
        "| instruction | `instruction.repetition` – goes round in circles | 140 | 11.2% | 810 |",
        "lacks a label that the selection asks for | 15 | 1.2% | 4 |",
        "| **delivered** | | **4** | **0.3%** | |",
        "500 rows were rejected before a response was paid for: about 406,000 tokens",
        "| `response_length_2` | 5,075 | 51.5 | 51.5 | 51.5 | 100 | 150 | 150 | 150 | 20,000 |",
        "| Math | 3 | 75.0% |",
        "| `difficulty` | very easy | easy | medium | hard | very hard | no label |",
        "| `safety_categories` | S1 |\n",
        "| `base_reward` | – | – | – | – | – | – | – | – | – |",
        "| 10 or more | 1 | 25.0% |",
        "| `tags` | `cut_off` | 1 | 25.0% |",
        "| `generate` | `toy/model` | 1,250 | 1\u00a0h\u00a07\u00a0min | 50,000 | 80.0% |",
        "| 1.2 | 0.99 | 50.0% | 1 |",
        "at revision `abc123`",
        "the difference is taken | `toy/base` | `bas1` |",
        "2 sessions, 2026-11-01 to 2026-11-02",
        "magpie_hub 0.1.0, datasets 5.2.0",
    ):
        assert said in text


def test_the_funnel_adds_up() -> None:
    found = funnel.funnel_steps(sample.stats()["funnel"])
    assert found[-1].left == 4
    assert [step.stage for step in found] == [
        "instruction",
        "instruction",
        "instruction",
        "response of turn 2",
        "selection",
        "selection",
    ]


def test_the_funnel_is_in_the_order_in_which_rows_are_looked_at() -> None:
    order = [
        "instruction.leak",
        "instruction.colon",
        "instruction.duplicate",
        "instruction.quality",
        "response.empty",
        "instruction_2.colon",
        "response_2.leak",
        "response_10.leak",
        "selection.reward",
        "selection.quality",
        "selection.shorter",
    ]
    rows = {"selection.shorter": 90, "selection.reward": 3, "instruction.leak": 2}
    found = {code: rows.get(code, 1) for code in sorted(order)}
    steps = funnel.funnel_steps({"planned": 200, "rejected": found, "delivered": 99})
    assert [step.code for step in steps] == order


def test_every_reason_is_said_in_words() -> None:
    others = {"thinking", "unfinished_thinking", "duplicate", "quality"}
    assert set(GATES) | others == set(funnel.REASONS)
    known = {rule.name for rule in rules.RULES} | {"published", "unjudged"}
    assert known | set(LEFT_OUT) == set(funnel.SELECTION)
    (step,) = funnel.funnel_steps({"planned": 2, "rejected": {"selection.new": 1}, "delivered": 1})
    assert (step.code, step.says) == ("selection.new", "")


def test_every_column_is_described(info: list[dict[str, Any]]) -> None:
    assert all(row.field.meaning for row in field_rows(info))
    rows = field_rows(info)
    listed = {name for row in rows for name in row.names if "." not in name}
    schemas = (arrow_schema(2, tuple(JUDGES), raw=True), sharegpt_schema())
    assert listed == {name for schema in schemas for name in schema.names}
    assert [(*row.names, row.only) for row in rows if row.only] == [
        ("reject_reason", "raw"),
        ("conversations", "sharegpt"),
    ]
    types = {row.names[0]: row.type for row in rows}
    assert types["messages"] == "list of {role, content}"
    assert types["safety_categories"] == "list of string"
    assert types["gen_input_configs.seed"] == "int64"


def test_columns_of_all_turns_share_a_line() -> None:
    features = [{"name": f"response{end}", "dtype": "string"} for end in ("", "_2", "_3", "_4")]
    (row,) = field_rows([{"features": features}])
    assert row.names == ("response", "response_2", "response_3", "response_4")


def test_a_judge_that_was_off_is_a_limit() -> None:
    limits = render_card(plain()).split("## Limits")[1]
    for said in ("not judged for safety", "not judged for difficulty", "reward model"):
        assert said in limits
    assert "Labels are opinions" not in limits


def test_a_judge_that_was_on_is_none(text: str) -> None:
    limits = text.split("## Limits")[1]
    assert "not judged" not in limits
    assert "Labels are opinions of models" in limits
    assert "Labels are of the first turn" in limits


def test_what_is_cut_off_is_a_limit() -> None:
    stats = plain().stats | {
        "labels": {"finish_reason": {"counts": {"stop": 2, "length": 2}, "missing": 0}}
    }
    assert "2 responses ran into the token limit" in render_card(plain(stats=stats))


def test_a_tagger_that_is_the_generator_is_called_so() -> None:
    recipe = parse_recipe("{name: a, description: b, model: c, judges: {tags: {}}}", "")
    text = render_card(plain(recipe=recipe))
    assert "of the instruction | the generator | – |" in text
    assert "and was the generator itself" in text


def test_a_server_keeps_its_address() -> None:
    session = sample.MANIFEST["sessions"][0] | {"engine": "server", "device": "http://10.0.0.1"}
    assert "10.0.0.1" not in render_card(plain(manifest={**sample.MANIFEST, "sessions": [session]}))


@pytest.mark.parametrize(
    "selection",
    [
        {"preset": "notebook", "require_safe": True, "languages": ("en", "de")},
        {"preset": "pro-300k-card"},
        {"preset": "pro-filter6"},
        {"preset": "air-filter"},
    ],
)
def test_every_condition_of_the_selection_is_said(selection: dict[str, Any]) -> None:
    section = Selection.model_validate(selection)
    reward = {"base": {"model": "b"}}
    judges = Judges.model_validate(
        {"tags": {}, "reward": reward, "guard": {}, "language": True, "neighbors": {}}
    )
    recipe = plain().recipe.model_copy(update={"selection": section, "judges": judges})
    text = render_card(plain(recipe=recipe))
    assert f"(the preset `{section.preset}`)" in text
    given = section.model_dump().items()
    asked = [key for key, value in given if value is not None and value is not False]
    table = text.split("| column | condition |\n")[1].split("\n\n")[0]
    assert len(table.split("\n")) - 1 == len(set(asked) - {"preset", "longest"})


def test_single_and_multi_turn_cards_differ(text: str) -> None:
    one = render_card(plain())
    assert "Each row is one instruction and its response" in one
    assert "Later instructions" not in one
    assert "Later instructions were drawn from the conversation so far" in text
    assert set(block_names(1)) <= set(block_names(2))


def test_pictures_are_found_beside_it(text: str) -> None:
    (image,) = [child for child in inside(parse(text)) if child.type == "image"]
    assert image.attrs["src"] == "assets/lengths.png"
    assert image.attrs["title"] == "Lengths"
    assert image.content == "Two histograms of lengths in tokens."
