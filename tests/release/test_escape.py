"""Foreign texts on a card: whatever they hold, they stay in their place and can be read."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from magpie_hub.release.card.markdown import (
    bibtex,
    cell,
    code,
    fence,
    inline,
    line,
    reveal,
    snippet,
)

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = [
    "---",
    "--- \n---\n# title\n",
    "```",
    "`",
    "``` `` `",
    "`" * 70,
    "~~~~",
    "# heading\n## another",
    "text\n===",
    "text\n---",
    "<b>bold</b><script>alert(1)</script>",
    "<!-- comment -->",
    "<!-- magpie:end -->",
    "\n<!-- magpie:begin -->\n",
    "-->",
    "&lt;b&gt; &amp; &#60;",
    "`<b>one</b> *two* [three](four)",
    "]()<b>one</b>` *two*",
    "\"<b>one</b>' *two* `",
    "{{ 7 * 7 }}{% raw %}{# no #}{% endblock %}",
    "a | b \\| c \\\\| d",
    "|---|---|",
    "line one\nline two\r\nline three\rline four",
    "\u202eabc\u2066\u2069\u200f",
    "in\u200bvis\ufeffible\u2060",
    "\0\x07\x1b[31mred\x1b[0m",
    "\ud800 \udfff",
    "\ufffe \U0001ffff \ue000",
    "[link](http://example.org) ![picture](x.png) [^1] [ref]: y",
    "http://example.org www.example.org <http://example.org>",
    "*one* _two_ ***three*** __four__ ~~five~~ $six$ \\(seven\\)",
    "1. one\n2. two\n- three\n+ four\n> five",
    "\t\tindented\n    code",
    "\u2028\u2029\x85\x0b\x0c",
    "x" * 50_000,
    "| " * 25_000,
    "`" * 50_000,
    "\n" * 50_000 + "end",
    "👨‍👩‍👧 می‌خواهم ❤️",
    '}{ } \\ % & # _ " @',
]
words = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from(HOSTILE[:24]), max_size=4).map("".join),
    st.text(st.characters(exclude_categories=()), max_size=60),
    st.text("`~|<>-#*_[]()\\&!=+:.\n\t {}%$12ab", max_size=40),
)


def parse(text: str) -> list[Token]:
    """Block tokens of a page."""
    return MARKDOWN.parse(text)


def inside(tokens: list[Token]) -> list[Token]:
    """Inline tokens of a page."""
    return [child for token in tokens for child in token.children or ()]


def shown(tokens: list[Token]) -> str:
    """What a reader reads of running text."""
    return "".join(token.content for token in inside(tokens))


def readable(text: str) -> None:
    """Nothing in it is hidden, turns the writing round, or fails to be UTF-8."""
    text.encode()
    for char in text:
        if char not in "\n\t\u200c\u200d":
            assert unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


@given(words)
def test_running_text_is_a_paragraph_of_text_and_says_the_same(text: str) -> None:
    tokens = parse(inline(text))
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    assert {token.type for token in inside(tokens)} <= {"text", "text_special"}
    assert shown(tokens) == line(text)
    readable(inline(text))


@given(words)
def test_a_heading_stays_a_heading_and_says_the_same(text: str) -> None:
    tokens = parse(f"## {inline(text)}\n\nafter")
    assert [token.type for token in tokens[::3]] == ["heading_open", "paragraph_open"]
    assert shown(tokens[:3]) == line(text)


@given(words, words)
def test_cells_stay_in_their_table(one: str, two: str) -> None:
    tokens = parse(f"| a | b |\n|---|---|\n| {cell(one)} | {code(two)} |\n| last | row |\n")
    cells = [after for token, after in pairwise(tokens) if token.type == "td_open"]
    assert [token.type for token in tokens].count("tr_open") == 3
    assert len(cells) == 4
    assert shown(cells[:1]) == line(one, 200)
    assert shown(cells[1:2]) == line(two, 200)
    assert {token.type for token in inside(cells)} <= {"text", "text_special", "code_inline"}


@given(words)
def test_a_code_span_says_the_same(text: str) -> None:
    tokens = parse(f"before {code(text)} after")
    assert shown(tokens) == f"before {line(text, 200)} after" or not line(text)
    readable(code(text))


@given(words)
def test_a_fence_holds_the_text_as_it_is(text: str) -> None:
    block = fence(text)
    tokens = parse(f"before\n\n{block}\n\nafter")
    assert [token.type for token in tokens] == [
        "paragraph_open",
        "inline",
        "paragraph_close",
        "fence",
        "paragraph_open",
        "inline",
        "paragraph_close",
    ]
    readable(block)
    plain = re.sub(r"\r\n?", "\n", text).strip("\n")
    if len(plain) <= 1200 and plain.count("\n") < 30:
        assert tokens[3].content == reveal(plain) + "\n"


@given(words)
def test_no_line_of_a_fenced_text_begins_a_line_of_the_page(text: str) -> None:
    assert all(part.startswith(" ") for part in fence(text).split("\n"))


@given(words, st.integers(20, 100))
def test_wrapping_a_fenced_text_loses_no_word(text: str, width: int) -> None:
    plain = re.sub(r"\r\n?", "\n", text).strip("\n")[:200]
    (block,) = parse(fence(plain, width=width))
    assert all(len(part) <= width for part in block.content.split("\n"))
    assert "".join(block.content.split()) == "".join(fence_content(plain).split())


def fence_content(text: str) -> str:
    """What a fence shows of a text."""
    (block,) = parse(fence(text))
    return block.content


@given(words)
def test_our_own_code_keeps_its_fence(text: str) -> None:
    source = "first\n" + re.sub(r"\r\n?", "\n", text).replace("\0", "") + "\nlast"
    tokens = parse(f"{snippet(source, 'python')}\n\nafter")
    assert [token.type for token in tokens[:2]] == ["fence", "paragraph_open"]
    assert len(tokens) == 4
    assert tokens[0].content == source + "\n"


@given(words)
def test_what_is_shown_is_shown_once(text: str) -> None:
    assert reveal(reveal(text)) == reveal(text)
    assert line(line(text)) == line(text)


@given(words)
def test_bibtex_braces_are_balanced(text: str) -> None:
    assert not set(bibtex(text)) & set("{}\n")
    readable(bibtex(text))


@pytest.mark.parametrize(
    "text",
    [
        "snake_case and 2024-01-01",
        "-10.45",
        "SmolLM2-135M-Instruct",
        "a (b) c!",
        "مرحبا",
        "👨‍👩‍👧 ❤️",
        "می‌خواهم",
    ],
)
def test_what_breaks_nothing_is_left_alone(text: str) -> None:
    assert inline(text) == line(text) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u200db", "a⟨U+200D⟩b"),
        ("\x1b[31m", "⟨U+001B⟩[31m"),
        ("\ud800", "⟨U+D800⟩"),
        ("\ufffe", "⟨U+FFFE⟩"),
        ("a\u3164b", "a⟨U+3164⟩b"),
        ("❤\ufe0f\ufe0e", "❤\ufe0f⟨U+FE0E⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, seen: str) -> None:
    assert reveal(text) == seen


def test_long_texts_are_cut_and_say_so() -> None:
    assert inline("a" * 2000, 10) == "a" * 10 + "…"
    assert "aaaa… [48,800 more characters]" in fence("a" * 50_000)
    many = fence("\n".join(str(number) for number in range(100)))
    assert " 29… [" in many
    assert " 30\n" not in many


def test_a_short_text_is_not_cut() -> None:
    assert "more characters" not in fence("a\nb")
    assert "…" not in inline("a" * 1000)
