"""Any key of a recipe can be set for one run, and then the recipe is as if it said so."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from magpie_hub.errors import UserError
from magpie_hub.pipeline.run import open_recipe
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import recipe_fingerprint

BASE = {
    "name": "mine",
    "description": "Mine.",
    "model": "a/b",
    "rows": 5,
    "respond": {"temperature": 0.5, "max_tokens": 9},
    "gates": {"rules": {"colon": True}},
    "judges": {"language": True},
}

Given = Mapping[str, Any] | Iterable[str] | str | None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "mine.yaml", BASE)


def write(path: Path, data: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(dict(data)))
    return path


def opened(path: Path, settings: Given = None, how: str = "{name}", **environment: str) -> Recipe:
    return open_recipe(path, {"settings": settings}, environment, how)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["respond.max_tokens=512"], {"respond": {"temperature": 0.5, "max_tokens": 512}}),
        ({"respond.max_tokens": 512}, {"respond": {"temperature": 0.5, "max_tokens": 512}}),
        ({"respond": {"max_tokens": 512}}, {"respond": {"temperature": 0.5, "max_tokens": 512}}),
        (["respond={max_tokens: 512}"], {"respond": {"temperature": 0.5, "max_tokens": 512}}),
        ("respond.max_tokens = 512", {"respond": {"temperature": 0.5, "max_tokens": 512}}),
        (["respond.loop=null"], {"respond": {"temperature": 0.5, "max_tokens": 9, "loop": None}}),
        (["rows=8"], {"rows": 8}),
        ({"rows": 8, "card": {"pretty_name": "X"}}, {"rows": 8, "card": {"pretty_name": "X"}}),
        (["card.language=[de, fr]"], {"card": {"language": ["de", "fr"]}}),
        (["gates.rules.colon=false"], {"gates": {"rules": {"colon": False}}}),
        (
            ["gates.rules.garbage.max_scripts=2"],
            {"gates": {"rules": {"colon": True, "garbage": {"max_scripts": 2}}}},
        ),
        (["description=a, b=c"], {"description": "a, b=c"}),
        ("seed=3, respond.top_p=0.5,engine=vllm", None),
        (
            ["judging=off", "selection.longest=false"],
            {"judging": "off", "selection": {"longest": False}},
        ),
    ],
)
def test_a_setting_is_as_if_the_recipe_said_so(
    tmp_path: Path, path: Path, settings: Given, said: dict[str, Any] | None
) -> None:
    if said is None:
        said = {"seed": 3, "engine": "vllm", "respond": {**BASE["respond"], "top_p": 0.5}}  # type: ignore[dict-item]
    other = opened(write(tmp_path / "other.yaml", {**BASE, **said}))
    assert opened(path, settings) == other
    assert recipe_fingerprint(opened(path, settings)) == recipe_fingerprint(other)


def test_a_preset_is_set_as_if_it_were_written(tmp_path: Path) -> None:
    judged = {"judges": {"tags": {}, "reward": {}, "neighbors": {}}}
    path = write(tmp_path / "a.yaml", {**BASE, **judged, "selection": {"preset": "pro-filter2"}})
    other = write(tmp_path / "b.yaml", {**BASE, **judged, "selection": {"preset": "pro-filter"}})
    run = opened(path, {"selection.preset": "pro-filter"})
    # The words were written for another selection.
    assert run.description != opened(other).description
    assert run.model_copy(update={"description": "Mine."}) == opened(other)


def test_an_entry_of_a_list_is_set_by_its_place() -> None:
    recipe = opened(Path("pro"), ["instruct.grid.points.3.temperature=0.9"])
    assert [point.temperature for point in recipe.instruct.grid.points] == [1.0, 1.1, 1.2, 0.9]


def test_the_nearest_wins(path: Path) -> None:
    variables = {"MAGPIE_SET": "rows=6, respond.max_tokens=7, judges.language=false"}
    recipe = opened(path, ["respond.max_tokens=8"], **variables)
    assert (recipe.rows, recipe.respond.max_tokens, recipe.judges.language) == (6, 8, False)
    assert open_recipe(path, {"rows": 3}, variables).rows == 3
    assert opened(path, ["rows=2"], MAGPIE_ROWS="4").rows == 2


def test_a_model_that_is_set_is_a_model_that_is_named(path: Path) -> None:
    write(path, {**BASE, "memory_gib": 500})
    assert opened(path, ["model=x/y"]) == open_recipe(path, {"model": "x/y"}, {})
    kept = opened(path, ["model=x/y", "memory_gib=3", "judges.language=true"])
    assert (kept.memory_gib, kept.judges.language) == (3, True)


@pytest.mark.parametrize(
    ("settings", "variables", "line"),
    [
        (["respond.max_tokns=5"], {}, "--set respond.max_tokns: unknown key (did you mean max_tok"),
        (["max_tokens=5"], {}, "--set max_tokens: unknown key (did you mean instruct.max_tokens"),
        (["rezpond.max_tokens=5"], {}, "--set rezpond.max_tokens: unknown key (did you mean resp"),
        (["respond.max_tokens=0"], {}, "--set respond.max_tokens: should be greater than or equal"),
        (["respond.max_tokens=many"], {}, "--set respond.max_tokens: should be a valid integer"),
        (["respond.max_tokens"], {}, "--set respond.max_tokens: KEY=VALUE is wanted"),
        (["rows=many"], {}, "--set rows: should be a valid integer, not 'many'"),
        (["rows.x=1"], {}, "--set rows.x: rows is 5, with no keys in it"),
        (["instruct.grid.points.7.rows=1"], {}, "--set instruct.grid.points"),
        (["seed=[1"], {}, "--set seed: line 1: not valid YAML"),
        (["seed=1", "seed=2"], {}, "--set seed: given twice, as 1 and as 2"),
        (["revision=main"], {}, "--set revision: unknown key (did you mean model_revision?)"),
        (["gates.rules.colons=true"], {}, "no gate is called 'colons'"),
        ({1: 2}, {}, "--set 1: a key is a text"),
        (5, {}, "--set"),
        ([5], {}, "--set 5: a mapping of keys"),
        ({"respond": [1]}, {}, "--set respond: should be a mapping of keys"),
        ({"respond.max_tokens": 10**5000}, {}, "--set respond.max_tokens: "),
        ({"respond.temperature": float("nan")}, {}, "--set respond.temperature: "),
        (
            None,
            {"MAGPIE_SET": "respond.top_q=1"},
            "MAGPIE_SET: respond.top_q: unknown key (did you",
        ),
        (None, {"MAGPIE_SET": "nonsense"}, "MAGPIE_SET: nonsense: KEY=VALUE is wanted"),
        (None, {"MAGPIE_SET": "rows=3", "MAGPIE_ROWS": "4"}, "MAGPIE_ROWS: given twice"),
    ],
)
def test_what_is_refused_is_named_as_it_was_given(
    path: Path, settings: Given, variables: dict[str, str], line: str
) -> None:
    with pytest.raises(UserError) as caught:
        opened(path, settings, "{option}", **variables)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_key_given_in_two_ways_must_agree(path: Path) -> None:
    with pytest.raises(UserError, match="--rows: given twice, as 3 and as 4 .--set rows"):
        open_recipe(path, {"rows": 3, "settings": ["rows=4"]}, {}, "{option}")
    assert open_recipe(path, {"rows": 3, "settings": ["rows=3"]}, {}).rows == 3


def test_a_misspelt_variable_is_warned_of_with_the_nearest(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("MAGPIE_MODELL", "MAGPIE_REVISION", "MAGPIE_RESPOND_MAX_TOKENS", "MAGPIE_HOME")
    with caplog.at_level(logging.WARNING, "magpie_hub"):
        for _ in range(2):
            opened(path, **dict.fromkeys(names, "x"))
    assert [record.getMessage() for record in caplog.records] == [
        "MAGPIE_MODELL: no variable of magpie-hub; it is not read (did you mean MAGPIE_MODEL?)",
        "MAGPIE_RESPOND_MAX_TOKENS: no variable of magpie-hub; it is not read (any key of a recipe "
        "can be set by MAGPIE_SET)",
        "MAGPIE_REVISION: no variable of magpie-hub; it is not read (did you mean "
        "MAGPIE_MODEL_REVISION?)",
    ]
