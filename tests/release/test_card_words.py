"""Texts on a card: the user's own instead of ours, and foreign ones, which break nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import yaml
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.errors import UserError
from magpie_hub.release.card.data import CardData
from magpie_hub.release.card.front_matter import read_page
from magpie_hub.release.card.merge import BEGIN, END, keep_edits
from magpie_hub.release.card.render import GAP, block_names, render_card
from tests.release import card_data as sample
from tests.release.cards import SMALL, plain, with_blocks
from tests.release.test_escape import HOSTILE, inside, parse, readable, words


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
    """The page without its text: blocks in their order, and counts of what is inside lines."""
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
