"""Recipes are strict, and every refusal is one line that names the key and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from magpie_hub.errors import RecipeError, UserError
from magpie_hub.gates.colon import Colon
from magpie_hub.gates.registry import verdict_settings
from magpie_hub.pipeline.run import open_recipe
from magpie_hub.recipe.as_run import in_true_words
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import (
    fingerprint,
    first_turn_settings,
    later_turn_settings,
    recipe_fingerprint,
)
from magpie_hub.recipe.load import load_recipe, parse_recipe
from magpie_hub.recipe.overrides import OVERRIDES, apply_overrides
from magpie_hub.recipe.variants import SUFFIX, find_recipe, shipped, variant_names

BASE = "name: mine\ndescription: Mine.\nmodel: a/b\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("rowz: 3", "rowz: unknown key .did you mean rows.*allowed here: .*rows"),
        ("rows: '3'", "rows: should be a valid integer, not '3'"),
        ("rows: 0", "rows: should be greater than or equal to 1, not 0"),
        ("rows: 3\nrows: 4", "line 5: .*'rows' is given twice"),
        ("rows: [", "line 5: not valid YAML"),
        ("1: x", "the key 1 is not a text"),
        ("respond: {temperature: 5.0}", "respond.temperature: should be less than or equal to 2"),
        ("chat: 3", "chat: should be a mapping of keys, not 3"),
        ("card: {language: en}", "card.language: should be a list, not 'en'"),
        ("engine: tpu", "engine: should be 'auto', 'vllm', 'transformers' or 'server'"),
        ("engine: server", "engine server needs base_url"),
        *(
            (f"base_url: '{url}'", "should be an http or https address")
            for url in (
                *("http://127.0.0.1:port/v1", "http://127.0.0.1:99999/v1", "ftp://127.0.0.1/v1"),
                *("127.0.0.1:8000/v1", "http://", "http://[::1/v1", "http://a b/v1"),
            )
        ),
        ("engine: vllm\nbase_url: http://x", "base_url is for engine server"),
        (
            "instruct: {grid: {rows: 3, points: [{rows: 1}, {rows: 1}]}}",
            "instruct.grid: the points' rows add up to 2, not to the grid's 3",
        ),
        (
            "instruct: {grid: {rows: 1, points: [{rows: 1, top_q: 1}]}}",
            "instruct.grid.points.0.top_q: unknown key .did you mean top_p",
        ),
        (
            "instruct: {grid: {rows: 1, points: [{rows: 1, top_p: 1.5}]}}",
            "instruct.grid.points.0.top_p: .*less than or equal to 1, not 1.5",
        ),
        (
            "instruct: {systems: [{name: a, text: x}, {name: a, text: y}]}",
            "two system prompts have the same name",
        ),
        ("judges: {tags: {mod: x}}", "judges.tags.mod: unknown key .did you mean mode"),
        ("judges: {tags: {quantization: fp8}}", "for another tagger than the generator; name it"),
        ("chat: {template_kwargs: [1]}", "chat.template_kwargs: should be a mapping"),
        ("chat: {template_kwargs: {a: .nan}}", "chat.template_kwargs.a: should be a finite number"),
        ("chat: {template_kwargs: {a b: 1}}", "chat.template_kwargs: 'a b' is no name"),
        ("chat: {template_kwargs: {messages: 1}}", "messages is not for a recipe to give"),
        ("chat: {template_kwargs: {date_string: x}}", "date_string is not .*: use chat.date"),
        ("chat: {template_kwargs: {enable_thinking: true}}", "contradicts thinking .false.*set"),
        ("chat: {thinking: true, template_kwargs: {thinking: false}}", "contradicts thinking"),
        ("selection: {min_quality: superb}", "selection.min_quality: should be 'very poor'"),
        (
            "regenerate: {grows: 3}",
            "regenerate.grows: unknown key .did you mean grow.*allowed here: .*state",
        ),
        ("regenerate: {grow: 0}", "regenerate.grow: should be greater than or equal to 1, not 0"),
        ("regenerate: {state: ''}", "regenerate.state: .*at least 1 character"),
        (
            "regenerate: {drift: {mixes: 0.3}}",
            "regenerate.drift.mixes: unknown key .did you mean mix.*allowed here: .*max_unsafe",
        ),
        ("regenerate: {drift: {mix: 20}}", "regenerate.drift.mix: .*or equal to 1, not 20"),
        ("regenerate: {drift: {lengths: .inf}}", "regenerate.drift.lengths: .*finite number"),
        ("regenerate: {drift: {significance: 0}}", "regenerate.drift.significance: .*than 0"),
        ("respond: {loop: {min_pattern: 9, max_pattern: 3}}", "min_pattern .9. is above"),
        ("gates: {rules: {colons: true}}", "gates: no gate is called 'colons'; there are"),
        ("gates: {rules: {empty: {x: 1}}}", "gates.empty: no parameter is called 'x'"),
    ],
)
def test_what_is_refused_and_how(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(BASE + text + "\n")
    with pytest.raises(RecipeError) as caught:
        open_recipe(path, {}, {})
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert re.search(line, message), message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "- a", "just words"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="f: a recipe is a mapping"):
        parse_recipe(text, "f")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(RecipeError, match="model: this key is needed"):
        parse_recipe("name: a\ndescription: b\n", "f")


def test_binary_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"r\.yaml: the recipe cannot be read: it is not UTF-8"):
        load_recipe(tmp_path / "r.yaml")
    with pytest.raises(UserError, match="no such recipe file"):
        find_recipe(tmp_path / "none.yaml")


def test_every_variant_is_there_and_valid() -> None:
    assert set(variant_names()) >= {"air", "air-mt", "pro", "pro-mt", "smol", "smol-mt"}
    for name in variant_names():
        recipe = open_recipe(name, {}, {})
        assert recipe.name == name


def test_the_builder_folder_lists_just_the_variants() -> None:
    readme = (shipped("builders") / "magpie" / "README.md").read_text()
    configs = yaml.safe_load(readme.split("---")[1])["configs"]
    files = {config["config_name"]: config["data_files"][0]["path"][1] for config in configs}
    assert files == {name: name + SUFFIX for name in variant_names()}


def test_an_unknown_variant_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match="pro-mtt: no such variant; did you mean pro-mt"):
        find_recipe("pro-mtt")


def test_published_numbers() -> None:
    pro, air = open_recipe("pro", {}, {}), open_recipe("air", {}, {})
    assert pro.model == "meta-llama/Meta-Llama-3-70B-Instruct"
    assert [(p.temperature, p.top_p, p.rows) for p in pro.instruct.grid.points] == [
        (1.0, 1.0, 300_000),
        (1.1, 0.995, 300_000),
        (1.2, 0.995, 300_000),
        (1.25, 0.99, 100_000),
    ]
    assert air.instruct.grid.rows == 3_000_000
    assert pro.respond.temperature == air.respond.temperature == 0
    assert (pro.selection.min_quality, pro.selection.reward_above) == ("average", -12.0)
    assert (air.selection.min_difficulty, air.selection.reward_difference_above) == ("medium", 0)


@pytest.mark.parametrize("name", ["air", "pro"])
def test_an_eco_variant_is_the_plain_one_with_tags_before_responses(name: str) -> None:
    eco, plain = open_recipe(f"{name}-eco", {}, {}), open_recipe(name, {}, {})
    assert eco.judges.tags is not None
    assert eco.judges.tags.before_responding
    assert eco.selection.min_quality is not None
    for section in ("model", "instruct", "respond", "selection", "oversample", "seed"):
        assert getattr(eco, section) == getattr(plain, section), section


def changed(recipe: Recipe, **fields: object) -> Recipe:
    return Recipe.model_validate({**recipe.model_dump(), **fields})


def first(recipe: Recipe, revision: str = "r") -> str:
    return fingerprint(first_turn_settings(recipe, revision))


def test_a_multi_turn_variant_has_the_first_turns_of_its_single_turn_one() -> None:
    for name in ("air", "pro", "smol"):
        assert first(open_recipe(name, {}, {})) == first(open_recipe(f"{name}-mt", {}, {}))


@pytest.mark.parametrize(
    "fields",
    [
        {"rows": 5},
        {"turns": 3},
        {"oversample": 2.0},
        {"min_yield": 0.5},
        {"engine": "transformers"},
        {"max_num_seqs": 4},
        {"engine_args": {"max_num_batched_tokens": 64, "disable_log_stats": True}},
        {"engine_args": {"hf_token": "hf_secret"}},
        {"gates": {"duplicate": False}},
        {"gates": {"rules": {"colon": False}}},
        {"description": "Other words."},
        {"card": {"pretty_name": "X"}},
        {"judges": {"tags": {}}, "selection": {"min_quality": "good"}},
        {"judges": {"language": True}},
        {"later_turns": {"temperature": 0.5}},
        {"regenerate": {"grow": 5, "drift": {"mix": None}}},
    ],
)
def test_what_costs_no_first_turn(fields: dict[str, object]) -> None:
    recipe = parse_recipe(BASE, "f")
    assert first(changed(recipe, **fields)) == first(recipe)
    assert recipe_fingerprint(changed(recipe, **fields)) != recipe_fingerprint(recipe)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "a/c"},
        {"seed": 1},
        {"quantization": "fp8"},
        {"max_model_len": 512},
        {"respond": {"temperature": 0.5}},
        {"instruct": {"max_tokens": 9}},
        {"dtype": "float32"},
        {"trust_model_code": True},
        {"engine_args": {"kv_cache_dtype": "fp8"}},
        {"engine_args": {"hf_overrides": {"rope_scaling": {"factor": 2.0}}}},
        {"engine_args": {"load_format": "dummy"}},
        {"engine_args": {"a_field_that_nobody_knows": 1}},
        {"chat": {"thinking": True}},
        {"chat": {"template_kwargs": {"reasoning_effort": "low"}}},
    ],
)
def test_what_costs_first_turns(fields: dict[str, object]) -> None:
    recipe = parse_recipe(BASE, "f")
    assert first(changed(recipe, **fields)) != first(recipe)


@pytest.mark.parametrize(
    "gates",
    [
        {"duplicate": False},
        {"before_responding": False},
        {"rules": {"colon": False}},
        {"rules": {"garbage": {"max_scripts": 2}}},
        {"rules": {"refusal": True}},
        {"rules": {"language": {"allow": ["en"]}}},
    ],
)
def test_what_costs_verdicts(gates: dict[str, object]) -> None:
    recipe = parse_recipe(BASE, "f")
    assert verdict_settings(changed(recipe, gates=gates)) != verdict_settings(recipe)
    assert verdict_settings(changed(recipe, seed=7)) == verdict_settings(recipe)


def test_a_gate_s_version_costs_verdicts_and_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = parse_recipe(BASE, "f")
    words, verdicts = first(recipe), verdict_settings(recipe)
    monkeypatch.setattr(Colon, "version", Colon.version + 1)
    assert first(recipe) == words
    assert verdict_settings(recipe) != verdicts


def test_template_variables_stay_plain_json() -> None:
    text = "chat: {template_kwargs: {a: [1, {b: null}], reasoning: false}}\n"
    given = parse_recipe(BASE + text, "f").chat.template_kwargs
    assert given == {"a": [1, {"b": None}], "reasoning": False}


def test_a_model_revision_costs_first_turns_and_later_settings_later_ones() -> None:
    recipe = parse_recipe(BASE, "f")
    assert first(recipe, "r1") != first(recipe, "r2")
    hotter = changed(recipe, later_turns={"temperature": 0.5})
    assert later_turn_settings(hotter) != later_turn_settings(recipe)


def test_the_nearest_setting_wins() -> None:
    recipe = parse_recipe(BASE + "rows: 5\n", "f")
    environment = {"MAGPIE_ROWS": "6", "MAGPIE_TURNS": "2", "MAGPIE_ENFORCE_EAGER": "1"}
    assert apply_overrides(recipe, {}, {}).rows == 5
    turned = apply_overrides(recipe, {}, environment)
    assert (turned.rows, turned.turns, turned.enforce_eager) == (6, 2, True)
    turned = apply_overrides(recipe, {"rows": 7}, environment)
    assert (turned.rows, turned.turns) == (7, 2)


def test_another_model_does_not_keep_what_belongs_to_the_recipes_own() -> None:
    recipe = parse_recipe(
        BASE + "model_revision: abc\nmemory_gib: 500\ncard: {license: llama3}\n", "f"
    )
    other = in_true_words(recipe, apply_overrides(recipe, {"model": "x/y"}, {}))
    assert (other.model_revision, other.memory_gib, other.card.license) == (None, None, None)
    same = in_true_words(recipe, apply_overrides(recipe, {"model": "a/b"}, {}))
    assert (same.model_revision, same.memory_gib, same.card.license) == ("abc", 500, "llama3")


@pytest.mark.parametrize(
    ("given", "environment", "line"),
    [
        ({"rows": 0}, {}, "--rows: should be greater than or equal to 1, not 0"),
        ({"rows": "8"}, {}, "--rows: should be a valid integer, not '8'"),
        ({}, {"MAGPIE_ROWS": "many"}, "MAGPIE_ROWS: should be a valid integer, not 'many'"),
        ({"gpu_memory_utilization": 1.5}, {}, "--gpu-memory-utilization: should be less"),
        ({"rowz": 1}, {}, "rowz: no such setting; did you mean rows. there are base_url"),
        ({"engine": "server"}, {}, "engine server needs base_url"),
    ],
)
def test_a_bad_setting_is_named_as_it_was_given(given, environment, line) -> None:
    with pytest.raises(UserError, match=line) as caught:
        apply_overrides(parse_recipe(BASE, "f"), given, environment, how="{option}")
    assert "\n" not in str(caught.value)


def test_every_scalar_of_a_run_is_an_override() -> None:
    assert {"rows", "model", "engine", "seed", "turns", "max_num_seqs"} <= set(OVERRIDES)
    assert all(override.help for override in OVERRIDES.values())


@pytest.mark.parametrize(
    ("given", "judged"),
    [
        ({}, True),
        ({"rows": 3}, True),
        ({"judging": "off"}, False),
        ({"judging": "off", "model": "a/nother"}, False),
        ({"model": "a/nother", "judging": "on"}, True),
    ],
)
def test_judges_are_off_when_that_is_said(given: dict[str, object], judged: bool) -> None:
    recipe = open_recipe("pro-mt", given, {})
    assert bool(recipe.judges.names) is judged
    assert (recipe.selection.min_quality is not None) is judged
    assert recipe.selection.longest
