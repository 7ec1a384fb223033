"""What a push or a card would refuse is refused when the recipe is read, line by line."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magpie_hub.errors import RecipeError, UserError
from magpie_hub.pipeline.run import open_recipe
from magpie_hub.recipe.variants import find_recipe, variant_names

BASE = "name: mine\ndescription: Mine.\nmodel: a/b\n"


def refused(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(BASE + text + "\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        open_recipe(path, {}, {})
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("card: {license: apache2}", "card.license: the Hub knows no .*mean apache-2.0"),
        ("card: {license: Apache 2.0}", "did you mean apache-2.0"),
        ("card: {license: MIT License}", "did you mean mit"),
        ("card: {license: GPLv3}", "did you mean gpl-3.0"),
        ("card: {license: llama-3}", "did you mean llama3"),
        ("card: {license: CC BY 4.0}", "did you mean cc-by-4.0"),
        ("card: {license: ' '}", "a licence has a name"),
        ("card: {language: [english]}", "card.language: 'english' is no language .*mean en"),
        ("card: {language: [en-US]}", "did you mean en"),
        ("card: {language: [EN]}", "did you mean en"),
        ("card: {language: [xx]}", "'xx' is no language code"),
        ("card: {language: [de, 'n\u00f6']}", "'n\u00f6' is no language code"),
        ("card: {language: [no]}", "card.language.0: should be a text, not False; write it in q"),
        (
            "judges: {language: true}\nselection: {languages: [en, qq]}",
            "selection.languages: 'qq' is no language code",
        ),
        ("hub: {repo_id: mine}", "hub.repo_id: a dataset's name is NAMESPACE/NAME"),
        ("hub: {repo_id: me/my data}", "hub.repo_id: 'me/my data' is no name on the Hub"),
        ("hub: {repo_id: me/-mine}", "is no name on the Hub"),
        ("hub: {repo_id: a/b/c}", "a dataset's name is NAMESPACE/NAME"),
        ("card: {blocks: {summry: x}}", "no block is called summry; did you mean summary"),
        ("card: {blocks: {summary: '{{ x'}}", "card.blocks.summary: line 1 of it is no Jinja"),
        ("card: {blocks: {summary: '{% for %}'}}", "is no Jinja"),
        ("card: {blocks: {summary: '{% endblock %}'}}", "is no Jinja"),
        ("card: {blocks: {summary: '{{ statz.rows }}'}}", "'statz' is undefined; .*mean stats"),
        ("card: {blocks: {summary: '{{ stats.rows | cuont }}'}}", "No filter named 'cuont'"),
        ("card: {blocks: {summary: '{{ 1 / 0 }}'}}", "cannot be rendered: division by zero"),
        ("card: {blocks: {summary: '{{ [].append(1) }}'}}", "cannot be rendered: .*unsafe"),
        ("card: {blocks: {summary: '{% include \"x\" %}'}}", "cannot take in other templates"),
        ("card: {blocks: {summary: '<!-- magpie:end -->'}}", "the marks of the card's own part"),
        ("model_revision: 1234567", "model_revision: should be a text, not 1234567; write it in"),
        ("model_revision: 012345", "line 4: not valid YAML: 012345 is one number to some readers"),
        ("model_revision: 1.5e+3", "model_revision: should be a text, not 1500.0; write it in q"),
        ("revision: main", r"line 4: revision: unknown key \(did you mean model_revision"),
        (
            "trust_remote_code: true",
            "trust_remote_code: unknown key .did you mean trust_model_code",
        ),
        ("respond: {temperature: 1e-1}", "not '1e-1'; a number has no quotes, and a point if"),
        ("respond: {temperature: .nan}", "respond.temperature: should be a finite number"),
        ("rows: 99999999999999999999999", "a number of 23 digits is more than any key takes"),
        ("rows: 9999999999", "rows: should be less than or equal to 1000000000"),
        ("memory_gib: .inf", "memory_gib: should be a finite number"),
        ('chat: {date: "a\\0b"}', "the character .* is none that a text may hold"),
        ('hub: {collection: "a\\nb"}', "hub.collection: should be one line of text"),
        ('"a\\nb": 1', r"a\\nb: unknown key"),
        ("engine_args: {x: .nan}", "engine_args"),
        ("selection: {require_safe: true}", "judges that are off: judges.guard"),
        ("gates: {rules: {colons: true, empty: {x: 1}}}", "'colons'.*; and gates.empty: no param"),
        (
            "rowz: 1\nturn: 2\nseeed: 3",
            "line 4: rowz: .*rows.*line 5: turn: .*line 6: seeed: .*seed",
        ),
    ],
)
def test_what_is_refused_before_anything_is_paid_for(tmp_path: Path, text: str, line: str) -> None:
    said = refused(tmp_path, text)
    assert re.search(line, said), said


@pytest.mark.parametrize(
    "text",
    [
        "card: {license: MIT}",
        "card: {license: tongyi-qianwen}",
        "card: {language: [en, de, yue, code]}",
        "card: {language: ['no']}",
        "hub: {repo_id: me/my-data_2.0}",
        "judging: off",
        "judging: on",
        "rows: 1_000",
        "model_revision: 1e5",
        "model_revision: 2024-07-26",
        "model_revision: '012345'",
        "card: {blocks: {summary: '{{ super() }} {{ stats.rows | count }}'}}",
        "turns: 2\ncard: {blocks: {turns: '{% for s in sampling %}{{ s }}{% endfor %}'}}",
        "card: {blocks: {summary: '{% for i in range(99999) %}{% for j in range(99999) %}"
        "{% endfor %}{% endfor %}'}}",
        "respond: &r {temperature: 0.5}\nlater_turns: {<<: *r, top_p: 1}",
    ],
)
def test_what_is_taken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(BASE + text + "\n")
    open_recipe(path, {}, {})


def test_merges_are_those_of_yaml(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        BASE + "respond: &r {temperature: 0.5, max_tokens: 7}\n"
        "later_turns: {<<: [*r, {top_p: 0.25}], temperature: 0.75}\n"
    )
    later = open_recipe(path, {}, {}).later_turns
    assert (later.temperature, later.max_tokens, later.top_p) == (0.75, 7, 0.25)


BOMBS = {
    "aliases": "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
    + "".join(f"{c}: &{c} [{','.join(['*' + p] * 10)}]\n" for p, c in pairwise("abcdefghi")),
    "merges": "a: &a {x: 1}\n"
    + "".join(f"{c}: &{c} {{<<: [{','.join(['*' + p] * 10)}]}}\n" for p, c in pairwise("abcdefgh")),
    "itself": "a: &a [*a]",
    "brackets": "a: " + "[" * 5000,
    "braces": "a: " + "{a: " * 3000,
    "dashes": "- " * 3000,
    "digits": "rows: " + "9" * 5000,
    "long": "a: " + "x" * 1_000_000,
    "tags": "a: !!python/object/apply:os.system [true]",
    "number": "rows: !!int x",
    "time": "a: !!timestamp x",
    "set": "a: !!set [1]",
    "two": "---\na: 1\n---\nb: 1",
    "tab": "a:\n\t- 1",
    "bell": "a: \x07",
    "half": '"\\ud800": 1',
    "octal": "rows: 010",
    "sexagesimal": "rows: 1:30",
    "hex": "rows: 0x_",
    "lists": "? [a]\n: 1",
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.timeout(20)
def test_yaml_that_hangs_overflows_or_means_two_things_is_one_line(
    tmp_path: Path, name: str
) -> None:
    refused(tmp_path, BOMBS[name])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_another_encoding_is_one_line(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes((BASE + "rowz: \u00e9\n").encode(encoding))
    with pytest.raises(RecipeError, match="cannot be read|not valid YAML"):
        open_recipe(path, {}, {})
    path.write_bytes((BASE + "rows: 3\n").encode("utf-8-sig"))
    assert open_recipe(path, {}, {}).rows == 3


TEXTS = [find_recipe(name).read_text() for name in variant_names()]
PIECES = [
    *(
        "[",
        "]",
        "{",
        "}",
        ":",
        "- ",
        "&a ",
        "*a",
        "<<: ",
        "!!int ",
        "!x ",
        "\t",
        "\0",
        "\n",
        "#",
        "'",
    ),
    *('"', "|", ">", "?", "%", "@", "0x", "010", "1:30", ".nan", "1e999", "9" * 40, "null", "yes"),
    *(
        "\ufeff",
        "\u2028",
        "\ud7ff",
        "{{",
        "}}",
        "{% block",
        "name",
        "rows",
        "\\ud800",
        "2024-13-45",
    ),
]


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """A recipe with a few places cut out, doubled, or written over."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)))
        twice = text[start:end] * draw(st.integers(0, 2))
        text = text[:start] + twice + piece + text[end:]
    return text


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.dates()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def wrong(draw: st.DrawFn) -> str:
    """A recipe with other values in the place of some."""
    data = yaml.safe_load(draw(st.sampled_from(TEXTS)))
    for _ in range(draw(st.integers(1, 3))):
        place = data
        while True:
            key = draw(st.sampled_from(sorted(place)))
            if isinstance(place[key], dict) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            place[key] = draw(values)
            break
    return yaml.safe_dump(data, allow_unicode=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spoilt")


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(text=st.one_of(spoilt(), wrong()))
def test_a_spoilt_recipe_is_taken_or_refused_in_one_line(folder: Path, text: str) -> None:
    path = folder / "mine.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    said = "taken"
    try:
        open_recipe(path, {}, {})
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert said.encode()
