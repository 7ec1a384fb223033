r"""Other people's words on a Markdown page: rows, names and labels that cannot break it.

What a model or a user wrote may hold anything: fences, pipes, HTML, front matter, marks that
turn the direction of writing, bytes that are no character. Each place on the page has a function
of its own: `inline` for running text and headings, `cell` for tables, `code` for a code span,
`fence` for a text of many lines. What a reader would not see is shown (⟨U+202E⟩), and nothing that
comes out can end what it stands in, begin something new, or fail to be UTF-8.

Entities (``&#42;``) do it rather than backslashes: they mean the same to every Markdown parser,
inside tables too, and the Hub takes ``\\(`` for mathematics.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
import textwrap
import unicodedata
from urllib.parse import quote

from magpie_hub.release.card.numbers import number

ELLIPSIS = "…"

_JOINERS = "\u200c\u200d"
_VARIANTS = re.compile("[\ufe00-\ufe0f]")
# Drawn as nothing, though no category says so: fillers, and selectors that smuggle bytes.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufdd0-\ufdef\U000e0000-\U000e0fff]"
)
_ENTITIES = {ord(char): f"&#{ord(char)};" for char in "\\`*[]<>|~$"} | {ord("&"): "&amp;"}
# Emphasis; inside a word an underscore is nothing but itself.
_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_HASH = re.compile(r"(?<!\S)#|#(?!\S)")
_LINK = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
# What would begin a list or underline a heading, were it the first on its line.
_FIRST = re.compile(r"^(\d{0,9})([-+=.)])(?=\s|[-=\s]*$)")
_TICKS = re.compile("`+")


def inline(text: object, limit: int = 1000) -> str:
    """One line of running text, or of a heading.

    Args:
        text: Anything; white space becomes single spaces.
        limit: Characters after which it is cut.
    """
    said = line(text, limit).translate(_ENTITIES)
    said = _UNDERSCORE.sub("&#95;", said)
    said = _HASH.sub("&#35;", said)
    said = _LINK.sub(_entity, said)
    return _FIRST.sub(lambda found: f"{found[1]}&#{ord(found[2])};", said)


def cell(text: object, limit: int = 200) -> str:
    """A table's cell."""
    return inline(text, limit)


def code(text: object, limit: int = 200) -> str:
    """A code span, in a table or out of one; nothing for a text without words.

    A pipe has no escape in a code span that all parsers agree on, so such a text is set as
    running text.
    """
    said = line(text, limit)
    if not said or "|" in said:
        return inline(said, limit)
    ticks = "`" * (_longest(said) + 1)
    pad = " " if said.startswith("`") or said.endswith("`") else ""
    return f"{ticks}{pad}{said}{pad}{ticks}"


def fence(text: object, limit: int = 1200, lines: int = 30, width: int | None = None) -> str:
    """A fenced block, as it was written.

    Block and text are indented by a space, which the reader of Markdown takes off again: no line
    of the text begins a line of the page, where front matter and markers are looked for.

    Args:
        text: Anything.
        limit: Characters after which it is cut.
        lines: Lines after which it is cut.
        width: Characters after which a line goes on in the next one; None leaves lines as long as
            they are, for a page to scroll.
    """
    whole = str(text).replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    kept = "\n".join(whole[:limit].split("\n")[:lines])
    left = len(whole) - len(kept)
    shown = reveal(kept) + (f"{ELLIPSIS} [{left:,} more characters]" if left else "")
    parts = shown.split("\n")
    if width is not None:
        parts = [part for long in parts for part in _wrap(long, width)]
    ticks = "`" * max(3, _longest(shown) + 1)
    return "\n".join(" " + part for part in (f"{ticks}text", *parts, ticks))


def _wrap(text: str, width: int) -> list[str]:
    wrapped = textwrap.wrap(text, width, expand_tabs=False, replace_whitespace=False)
    return wrapped or [""]


def snippet(source: str, language: str) -> str:
    """A fenced block of our own code, in which a name may hold backticks."""
    ticks = "`" * max(3, _longest(source) + 1)
    return f"{ticks}{language}\n{source.strip()}\n{ticks}"


def line(text: object, limit: int = 1000) -> str:
    """One line of plain text, for where nothing is Markdown: YAML, alternative texts, BibTeX.

    Args:
        text: Anything; white space becomes single spaces.
        limit: Characters after which it is cut.
    """
    whole = str(text)
    # Cut twice: what is long is not looked through, and white space does not count.
    said = " ".join(whole[: 4 * limit].split())
    cut = len(said) > limit or len(whole) > 4 * limit
    return reveal(said[:limit].rstrip()) + (ELLIPSIS if cut else "")


def bibtex(text: object) -> str:
    """A BibTeX value, for between braces."""
    bare = line(text).translate({ord(char): None for char in "\\{}~^"})
    return re.sub(r"([%&#$_])", r"\\\1", bare)


def quoted(text: object) -> str:
    """A string as Python and JSON write it."""
    return json.dumps(line(text), ensure_ascii=False)


def shell(text: object) -> str:
    """A word of a command line."""
    return shlex.quote(line(text))


def url(text: object) -> str:
    """A part of an address, slashes kept."""
    return quote(line(text), safe="/")


def value(label: object) -> str:
    """A label of an example: a truth value, a number or words."""
    if isinstance(label, bool):
        return str(label).lower()
    return number(label) if isinstance(label, int | float) else inline(label, 200)


def reveal(text: str) -> str:
    """Shows what a page would not: controls, direction marks, things without width, half pairs.

    Line breaks and tabs stay, and so do joiners and variation selectors where scripts and emoji
    use them: one at a time, between characters that are not ASCII.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = []
    for place, char in enumerate(text):
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        if char in "\n\t" or not _is_hidden(char, before, after):
            shown.append(char)
        else:
            shown.append(f"⟨U+{ord(char):04X}⟩")
    return "".join(shown)


def _is_hidden(char: str, before: str, after: str) -> bool:
    if char in _JOINERS:
        return _is_plain(before) or _is_plain(after)
    if _VARIANTS.match(char):
        return not before or before.isspace() or _VARIANTS.match(before) is not None
    return _never_seen(char)


def _is_plain(char: str) -> bool:
    """Whether a joiner has no business beside this character."""
    return not char or char.isascii() or _never_seen(char) or char in _JOINERS


@functools.cache
def _never_seen(char: str) -> bool:
    # Unassigned characters pass: which ones those are depends on the Python that asks.
    return (
        unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        or _BLANK.match(char) is not None
        or ord(char) & 0xFFFE == 0xFFFE
    )


def _entity(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"


def _longest(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)
