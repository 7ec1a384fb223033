"""Regular expressions that every engine reads as Python's `re` does.

What compiles a pattern for decoding has a dialect of its own and departs from `re` in silence:
xgrammar's dot takes a line break, its `[\\^a]` is everything but an a, its `\\Z` is the letter Z.
`portable` lets through what can be said in a few constructs that all dialects share, and says it
in those: literals, sets of literal characters, groups, alternatives and counts. Anything else is
refused. A text that matches the outcome in whole matches the pattern in whole, by `re.fullmatch`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from magpie_hub.engines.base import Sampling
from magpie_hub.errors import EngineError

_Ranges = list[tuple[int, int]]

_NEVER: _Ranges = [(0, 0), (0xD800, 0xDFFF)]
"""No completion holds them: compilers refuse NUL, and surrogates are no text."""

_SETS = {"d": "0-9", "w": "0-9A-Z_a-z", "s": "\t-\r "}
"""Shorthands, in ASCII; `re` knows more digits, letters and spaces, so no set may exclude them."""

_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}

_ITEM = r"(?:\\.|[^\\\[\]-])"
_PIECE = re.compile(
    rf"""
      \[ (?P<but>\^?) (?P<items> -? (?:{_ITEM}(?:-{_ITEM})?)* -? ) \]
    | (?P<dot> \. )
    | \\ (?P<escaped> . )
    | (?P<group> \((?:\?:|(?!\?)) | [)|] )
    # A lazy count matches the same texts in whole, a possessive one does not.
    | (?P<count> [*+?] | \{{\d+(?:,\d*)?\}} ) \?? (?!\+)
    | (?P<literal> [^\\^$.\[\]{{}}()|*+?] )
    """,
    re.VERBOSE | re.DOTALL,
)


@lru_cache(maxsize=256)
def portable(pattern: str) -> str:
    """Returns a pattern in the constructs that all dialects share.

    `.`, sets, escaped punctuation, `\\n`, `\\r`, `\\t`, groups, `|` and counts are known; `\\d`,
    `\\w` and `\\s` mean ASCII. The whole text is matched, so `^` and `$` have no place.

    Raises:
        EngineError: It is no regular expression, or holds something else.
    """
    try:
        re.compile(pattern)
        pattern.encode()
    except (re.error, OverflowError, RecursionError, UnicodeEncodeError) as error:
        raise EngineError(f"the pattern is refused: {error}: {pattern!r}") from error
    said, at = [], 0
    while at < len(pattern):
        piece = _PIECE.match(pattern, at)
        plain = piece and _plain(piece)
        if not piece or plain is None:
            raise EngineError(
                f"the pattern is refused at {pattern[at : at + 8]!r}, which not every engine "
                f"reads alike; write it with literals, sets, groups, | and counts: {pattern!r}"
            )
        said.append(plain)
        at = piece.end()
    return "".join(said) or "()"


def end_ids(tokenizer: Any, vocabulary: int | None) -> tuple[int, ...]:
    """Returns a tokenizer's special tokens, end of sequence included.

    They stand for no text. Under a pattern each of them ends the completion, which also keeps the
    pattern from spelling one out.

    Args:
        tokenizer: A tokenizer of transformers.
        vocabulary: How many ids the model knows, for its tokenizer may name more; None where
            unknown.
    """
    marked = (i for i, token in tokenizer.added_tokens_decoder.items() if token.special)
    ids = sorted({*tokenizer.all_special_ids, *marked})
    return tuple(i for i in ids if vocabulary is None or i < vocabulary)


def with_ends(sampling: Sampling, ends: Sequence[int] | None) -> Sampling:
    """Returns how a completion is drawn under its pattern; one without a pattern as it is.

    Args:
        sampling: What is asked for.
        ends: What `end_ids` says; None if the engine was not started for patterns.

    Raises:
        EngineError: The engine cannot follow the pattern.
    """
    if sampling.pattern is None:
        return sampling
    if ends is None:
        raise EngineError("a pattern needs an engine that was started with constrained=True")
    stop_ids = tuple(dict.fromkeys((*sampling.stop_ids, *ends)))
    if not stop_ids:
        raise EngineError("a pattern needs a token to end on; name one in stop_ids")
    return replace(sampling, pattern=portable(sampling.pattern), stop_ids=stop_ids)


def _plain(piece: re.Match[str]) -> str | None:
    """Returns one construct in plain words; None if there are none for it."""
    if said := piece["group"] or piece["count"]:
        return said
    ranges: _Ranges | None
    if piece["items"] is not None:
        ranges = _ranges(piece["items"], shorthands=not piece["but"])
    elif piece["dot"]:
        ranges = [(ord("\n"), ord("\n"))]
    elif piece["escaped"]:
        ranges = _ranges(piece[0], shorthands=True)
    else:
        ranges = [(ord(piece[0]), ord(piece[0]))]
    if not ranges:
        return None
    return _spelt(_others(ranges if piece["but"] or piece["dot"] else _others(ranges)))


def _ranges(items: str, *, shorthands: bool) -> _Ranges | None:
    """Reads the inside of a set; None if something in it is not the same to all."""
    ranges: _Ranges = []
    for item in re.finditer(rf"({_ITEM})(?:-({_ITEM}))?|-", items, re.DOTALL):
        first, last = item[1] or "-", item[2] or item[1] or "-"
        if shorthands and item[0][1:] in _SETS and first[0] == "\\":
            ranges += _ranges(_SETS[item[0][1:]], shorthands=False) or []
            continue
        low, high = _character(first), _character(last)
        if low is None or high is None:
            return None
        ranges.append((ord(low), ord(high)))
    return ranges


def _character(item: str) -> str | None:
    """The character that an item of a set stands for."""
    if item[0] != "\\":
        return item
    if item[1].isascii() and item[1].isalnum():
        return _CONTROLS.get(item[1])
    return item[1]


def _others(ranges: Iterable[tuple[int, int]]) -> _Ranges:
    """Returns the characters of text that are in none of the ranges."""
    others: _Ranges = []
    after = 0
    for low, high in sorted([*ranges, *_NEVER]):
        if low > after:
            others.append((after, low - 1))
        after = max(after, high + 1)
    return [*others, (after, 0x10FFFF)] if after <= 0x10FFFF else others


def _spelt(ranges: _Ranges) -> str | None:
    """Writes a set down; None if it is empty."""
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        character = chr(ranges[0][0])
        return "\\" + character if character in r"\^$.[]{}()|*+?" else character
    said, caret = "", ""
    for low, high in ranges:
        if low == ord("^"):
            # Escaped or not, at the head of a set xgrammar takes it for "but".
            caret, low = r"\^", low + 1
        if low <= high:
            said += _in_set(low) + (f"-{_in_set(high)}" if low < high else "")
    return f"[{said}{caret}]" if said else None


def _in_set(code: int) -> str:
    character = chr(code)
    for name, control in _CONTROLS.items():
        if character == control:
            return "\\" + name
    return "\\" + character if character in r"\[]^-" else character
