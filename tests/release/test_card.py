"""The dataset card: what the Hub, `datasets` and a reader find in it, whatever the rows hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.errors import UserError
from magpie_hub.gates import GATES
from magpie_hub.recipe import parse_recipe
from magpie_hub.recipe.judges import Judges
from magpie_hub.recipe.selection import Selection
from magpie_hub.release import funnel, numerals, tables
from magpie_hub.release.card import GAP, CardData, block_names, render_card, size_category
from magpie_hub.release.fields import describe, field_rows
from magpie_hub.release.front_matter import read_page
from magpie_hub.release.info import dataset_info
from magpie_hub.release.licenses import find_license
from magpie_hub.release.merge import BEGIN, END, keep_edits
from magpie_hub.schema import LABELS, arrow_schema
from magpie_hub.selection import rules, shortlist
from tests.release import card_data as sample
from tests.release.test_escape import HOSTILE, inside, parse, readable, words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of a release of two turns and all judges."""
    folder = tmp_path_factory.mktemp("release")
    sample.write_data(folder, [sample.row(n) for n in range(4)])
    return folder


@pytest.fixture(scope="module")
def info(folder: Path) -> list[dict[str, Any]]:
    return dataset_info(folder)


FEATURES = [{"name": "uuid", "dtype": "string"}, {"name": "messages", "list": "string"}]
SMALL = [
    {
        "config_name": name,
        "features": FEATURES,
        "splits": [{"name": "train", "num_bytes": 1, "num_examples": 4}],
        "download_size": 1500,
    }
    for name in ("default", "raw")
]
"""What `info` takes where columns do not matter."""


@pytest.fixture(scope="module")
def text(info: list[dict[str, Any]]) -> str:
    return render_card(sample.card_data(info=info))


def plain(turns: int = 1, **changes: Any) -> CardData:
    """A card without judges."""
    said = f"{{name: toy, description: A toy., model: toy/model, turns: {turns}}}"
    recipe = parse_recipe(said, "toy")
    stats = sample.stats(turns) | {"labels": {}, "numbers": {}, "failures": {}, "spent": []}
    del stats["repeats"]
    given = {"recipe": recipe, "stats": stats, "siblings": (), "changelog": (), "pictures": ()}
    examples = [sample.row(0, turns, ())]
    return sample.card_data(**{"info": SMALL[:1], "examples": examples, **given, **changes})


def with_blocks(turns: int = 2, /, **blocks: str) -> CardData:
    data = plain(turns)
    card = data.recipe.card.model_copy(update={"blocks": blocks})
    return plain(turns, recipe=data.recipe.model_copy(update={"card": card}))


def sections(text: str) -> list[str]:
    """Headings of the second degree."""
    return re.findall(r"^## (.*)$", text, re.MULTILINE)


# ---- front matter


def test_datasets_loads_the_folder_by_it(folder: Path, text: str, tmp_path: Path) -> None:
    import datasets

    (folder / "README.md").write_text(text, encoding="utf-8")
    cache = str(tmp_path)
    rows = datasets.load_dataset(str(folder), split="train", cache_dir=cache)
    assert [row["row_id"] for row in rows] == [0, 1, 2, 3]
    assert rows.info.download_size == dataset_info(folder)[0]["download_size"]
    raw = datasets.load_dataset(str(folder), "raw", split="train", cache_dir=cache)
    assert raw["reject_reason"][:] == [None] * 4 + ["instruction.colon"]


def test_a_card_with_other_counts_than_the_files_does_not_load(
    folder: Path, info: list[dict[str, Any]], tmp_path: Path
) -> None:
    import datasets
    from datasets.exceptions import NonMatchingSplitsSizesError

    default = info[0] | {"splits": [info[0]["splits"][0] | {"num_examples": 5}]}
    wrong = render_card(sample.card_data(info=[default, info[1]]))
    (folder / "README.md").write_text(wrong, encoding="utf-8")
    with pytest.raises(NonMatchingSplitsSizesError):
        datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path))


def test_a_long_name_is_one_line() -> None:
    recipe = sample.recipe(pretty_name="A long name " * 12)
    assert f"\npretty_name: {('A long name ' * 12).strip()}\n" in render_card(plain(recipe=recipe))


def test_the_hubs_client_reads_it(text: str) -> None:
    card = DatasetCard(text)
    assert card.data.pretty_name == "Magpie Toy"
    assert card.data.license == "llama3"
    assert card.data.language == ["en"]
    assert card.data.task_categories == ["text-generation"]
    assert card.data.size_categories == ["n<1K"]
    assert card.data.source_datasets == ["original"]
    assert card.data.annotations_creators == card.data.language_creators == ["machine-generated"]
    assert {"synthetic", "magpie", "sft", "multi-turn", "toys"} <= set(card.data.tags)
    assert card.text == read_page(text).body


def test_configs_have_one_default_and_are_found_where_they_are(text: str) -> None:
    assert read_page(text).front["configs"] == [
        {
            "config_name": "default",
            "default": True,
            "data_files": [{"split": "train", "path": "data/default/train-*"}],
        },
        {
            "config_name": "raw",
            "data_files": [{"split": "train", "path": "data/raw/train-*"}],
        },
    ]


@pytest.mark.parametrize(
    ("recipes", "generators", "front", "said"),
    [
        (None, "apache-2.0", {"license": "apache-2.0"}, "> **Licence: `apache-2.0`.**"),
        ("MIT", "apache-2.0", {"license": "mit"}, "its licence (`apache-2.0`) applies to them"),
        (None, None, {"license": "other"}, "> **Licence unknown.**"),
        (
            None,
            "Tongyi Qianwen",
            {"license": "other", "license_name": "tongyi-qianwen"},
            "> **Licence: Tongyi Qianwen.**",
        ),
        (None, "llama3.1", {"license": "llama3.1"}, "begins with “Llama”"),
        ("cc-by-4.0", "llama3", {"license": "cc-by-4.0"}, "improve any other large language model"),
    ],
)
def test_the_licence_is_the_recipes_or_the_generators(
    recipes: str | None, generators: str | None, front: dict[str, str], said: str
) -> None:
    recipe = plain().recipe
    recipe = recipe.model_copy(update={"card": recipe.card.model_copy(update={"license": recipes})})
    text = render_card(plain(recipe=recipe, license=generators))
    found = read_page(text).front
    assert {key: value for key, value in found.items() if key.startswith("license")} == front
    assert said in text


def test_a_link_to_a_licence_is_given_where_it_is_known() -> None:
    front = read_page(render_card(plain(license="own", license_link="https://e.org/l"))).front
    assert (front["license_name"], front["license_link"]) == ("own", "https://e.org/l")
    assert "license_link" not in read_page(render_card(plain(license_link="x"))).front


# ---- what a reader finds


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
    found = funnel.steps(sample.stats()["funnel"])
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
    steps = funnel.steps({"planned": 200, "rejected": found, "delivered": 99})
    assert [step.code for step in steps] == order


def test_every_reason_is_said_in_words() -> None:
    assert set(GATES) | {"duplicate", "quality"} == set(funnel.REASONS)
    chosen = (shortlist.SHORTER, shortlist.MIX, shortlist.SURPLUS)
    known = {rule.name for rule in rules.RULES} | {"published", "unjudged"}
    assert known | {one.removeprefix("selection.") for one in chosen} == set(funnel.SELECTION)
    (step,) = funnel.steps({"planned": 2, "rejected": {"selection.new": 1}, "delivered": 1})
    assert (step.code, step.says) == ("selection.new", "")


def test_every_column_is_described(info: list[dict[str, Any]]) -> None:
    schema = arrow_schema(8, tuple(LABELS), raw=True)
    assert [name for name in schema.names if describe(name) is None] == []
    rows = field_rows(info)
    listed = {name for row in rows for name in row.names if "." not in name}
    assert listed == set(arrow_schema(2, tuple(LABELS), raw=True).names)
    assert [row.names for row in rows if row.raw_only] == [("reject_reason",)]
    types = {row.names[0]: row.type for row in rows}
    assert types["messages"] == "list of {role, content}"
    assert types["safety_categories"] == "list of string"
    assert types["gen_input_configs.seed"] == "int64"


def test_columns_of_all_turns_share_a_line() -> None:
    features = [{"name": f"response{end}", "dtype": "string"} for end in ("", "_2", "_3", "_4")]
    (row,) = field_rows([{"features": features}])
    assert row.names == ("response", "response_2", "response_3", "response_4")


def test_every_judge_is_described() -> None:
    assert set(tables.SAYS) == set(LABELS)


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


# ---- words of one's own


def test_a_block_of_ones_own_stands_in_its_place() -> None:
    mine = "## Limits\n\n- It is only a toy of {{ stats.rows }} rows."
    text = render_card(with_blocks(limits=mine, citation="{{ super() }}\n\nThanks."))
    assert "- It is only a toy of 4 rows.\n\n## Citation\n" in text
    assert "Nobody has read these rows" not in text
    assert text.endswith(f"```\n\nThanks.\n\n{END}\n")


def test_a_paragraph_is_never_ended_by_a_word() -> None:
    assert "\nonetwo\n" in render_card(with_blocks(limits=f"one{GAP}two"))


def test_every_block_can_be_replaced() -> None:
    for turns in (1, 2):
        names = block_names(turns)
        assert {"header", "licence", "quick_start", "variants", "how", "funnel"} <= set(names)
        assert {"statistics", "pictures", "fields", "examples", "limits"} <= set(names)
        for name in names:
            text = render_card(with_blocks(turns, **{name: "My own words."}))
            assert text.count("My own words.") == 1
            assert text != render_card(plain(turns))


def test_all_blocks_at_once() -> None:
    names = [name for name in block_names(1) if name not in ("shape", "turns", "turn_limits")]
    text = render_card(with_blocks(1, **{name: f"My {name}." for name in names}))
    body = text.split(BEGIN)[1].split(END)[0]
    assert body == "\n\n" + "".join(f"My {name}.\n\n" for name in names)


def test_an_unknown_block_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"no block is called limit; there are header, licence,"):
        render_card(with_blocks(limit="x"))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("{{ nothing.at.all }}", "'nothing' is undefined"),
        ("{% if %}", "Expected an expression"),
        ("{% endblock %}{% block header %}", "unknown tag 'endblock'"),
        ("{{ 1 // 0 }}", "zero"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ stats.update({}) }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "/etc/passwd"),
        ("{{ 'a' | no_filter }}", "no_filter"),
        ("{{ range(10 ** 9) | list }}", "too big"),
        (f"words\n{END}\nwords", "are the card's own"),
        (f"{{{{ '{BEGIN}' }}}}", "are the card's own"),
    ],
)
def test_a_block_that_cannot_be_rendered_is_a_clear_error(words: str, why: str) -> None:
    with pytest.raises(UserError, match=r"^card\.blocks\.limits: ") as caught:
        render_card(with_blocks(limits=words, citation="fine"))
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- hostile words


def hostile(draw: Callable[[], str]) -> CardData:
    """A card's data in which everything that can be a stranger's word is one."""
    recipe = sample.recipe(pretty_name=draw(), tags=(draw(),), language=(draw(),))
    recipe = recipe.model_copy(update={"description": draw(), "model": draw()})
    stats = sample.stats()
    stats["labels"]["language"]["counts"] = {draw(): 3, "DE": 1}
    stats["labels"]["task_category"]["counts"] |= {"?" + draw(): 1}
    stats["failures"] = {"tags": {"?" + draw(): 2}}
    stats["funnel"]["rejected"] |= {"response." + draw(): 0}
    stats["spent"][0] |= {"model": draw()}
    manifest = sample.MANIFEST | {
        "model": {"name": draw(), "revision": draw()},
        "chat": {"pre_query": {"text": draw(), "ids": []}},
        "versions": {"torch": draw()},
        "recipe_fingerprint": draw(),
        "sessions": [sample.MANIFEST["sessions"][0] | {"device": draw(), "dtype": draw()}],
        "judges": {"toy/tagger": draw()},
    }
    example = sample.row(0, instruction=draw(), response=draw(), uuid=draw(), intent=draw())
    return sample.card_data(
        info=SMALL,
        recipe=recipe,
        stats=stats,
        manifest=manifest,
        license=draw(),
        license_link=draw(),
        examples=[example],
        pictures=[(draw(), draw(), draw())],
        repo_id=f"me/{draw()}",
        tag=draw(),
        siblings=[
            sample.SIBLINGS[0] | {"name": "x" + draw(), "generator": draw(), "repo_id": draw()}
        ],
        changelog=[{key: draw() for key in ("tag", "date", "edition", "text")}],
    )


def skeleton(text: str) -> tuple[list[tuple[str, str, str]], Counter[str]]:
    """The page without its words: blocks in their order, and how often what stands in lines."""
    tokens = parse(read_page(text).body)
    blocks = [(token.type, token.tag, token.info) for token in tokens]
    # A name with a pipe is no code span, and one that is cut out of text makes two of it.
    words = ("text", "text_special", "code_inline", "softbreak")
    return blocks, Counter(token.type for token in inside(tokens) if token.type not in words)


VISIBLE = words.filter(lambda word: bool(word.split()))
TAME = render_card(hostile(lambda: "tame"))


def check_page(text: str) -> None:
    """The page is built as that of harmless words, and is one card."""
    assert skeleton(text) == skeleton(TAME)
    page = parse(read_page(text).body)
    raw = [token.content.strip() for token in page if token.type == "html_block"]
    assert raw == [BEGIN, END]
    assert [part for part in text.split("\n") if part.rstrip() in (BEGIN, END)] == [BEGIN, END]
    readable(text)
    assert keep_edits(text, text) == text


@pytest.mark.parametrize("word", [word for word in HOSTILE if word.split()])
def test_a_word_in_all_places_does_not_break_the_page(word: str) -> None:
    check_page(render_card(hostile(lambda: word)))


@settings(max_examples=40)
@given(st.data())
def test_no_words_break_the_page(data: st.DataObject) -> None:
    check_page(render_card(hostile(lambda: data.draw(VISIBLE))))


@settings(max_examples=40)
@given(VISIBLE)
def test_no_word_breaks_the_yaml(word: str) -> None:
    recipe = plain().recipe
    card = recipe.card.model_copy(
        update={"pretty_name": word, "tags": (word, "a"), "language": (word,), "license": word}
    )
    text = render_card(plain(recipe=recipe.model_copy(update={"card": card})))
    front = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert list(front) == [*dict.fromkeys(read_page(text).front)]
    assert front["pretty_name"] == front["tags"][5] == front["language"][0]
    assert "a" in front["tags"][5:7]
    assert [one["config_name"] for one in front["configs"]] == ["default"]
    assert DatasetCard(text).data.pretty_name == front["pretty_name"]


# ---- numbers


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (1234567, "1,234,567"),
        (1234.5, "1,234"),
        (153.27, "153.3"),
        (-10.45, "-10.45"),
        (2.0, "2"),
        (0.02131, "0.0213"),
        (2.1e-06, "2.1e-06"),
    ],
)
def test_numbers_have_as_many_digits_as_mean_something(value: float | None, shown: str) -> None:
    assert numerals.number(value) == shown


def test_units() -> None:
    assert [numerals.share(part, 3000) for part in (0, 1, 369, 2999, 3000)] == [
        "0%",
        "<0.1%",
        "12.3%",
        ">99.9%",
        "100.0%",
    ]
    assert numerals.share(0, 0) == "–"
    assert [numerals.size(value) for value in (999, 18_940, 562_579_366, 19_031_408_037_000)] == [
        "999 bytes",
        "18.9 kB",
        "562.6 MB",
        "19,031.4 GB",
    ]
    times = [numerals.duration(value) for value in (0.42, 45, 600, 3600, 12_000, 187_200)]
    assert [time.replace("\u00a0", " ") for time in times] == [
        "0.4 s",
        "45 s",
        "10 min",
        "1 h",
        "3 h 20 min",
        "2 d 4 h",
    ]
    assert [numerals.about(value) for value in (0, 950, 14_512, 1_234_567, 2.4e9)] == [
        "0",
        "950",
        "14,500",
        "1.23 million",
        "2.4 billion",
    ]
    assert numerals.plural(1, "row") == "1 row"


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_share_is_nothing_or_everything_only_if_it_is(part: int, more: int) -> None:
    whole = part + more
    assert (numerals.share(part, whole) == "0%") == (part == 0)
    assert numerals.share(part, whole) != "100.0%"


@pytest.mark.parametrize(
    ("rows", "name"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**7, "10M<n<100M"), (10**8, "100M<n<1B")],
)
def test_size_categories(rows: int, name: str) -> None:
    assert size_category(rows) == name


def test_licences() -> None:
    assert find_license("Apache-2.0").id == "apache-2.0"
    assert find_license(" ") == find_license(None) == ("other", None, "")
    assert find_license("something else").name == "something else"
