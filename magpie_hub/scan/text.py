"""Texts to hits, fast where there are none.

Most texts hold nothing. One regular expression of all rules' anchors, run by Arrow's RE2 over whole
columns in linear time, tells which may hold something; only those become Python strings and are
searched by the rules they may concern.

A rule sees pieces of bounded length, since patterns of libraries may take quadratic time: a hostile
text of any length takes linear time. Pieces overlap and are cut between words where there are
words, so what is missed is a credential longer than `OVERLAP` in a longer run without white space.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from magpie_hub.scan.finding import Rule

if TYPE_CHECKING:
    import pyarrow as pa

PIECE = 16_384
OVERLAP = 4_096  # A private key of 4,096 bits takes 3,300 characters.


@cache
def rules() -> tuple[Rule, ...]:
    """All detectors; loads the libraries behind them."""
    from magpie_hub.scan.credentials import CREDENTIALS
    from magpie_hub.scan.paths import own_rules
    from magpie_hub.scan.personal import PERSONAL

    return (*CREDENTIALS, *PERSONAL, *own_rules())


@cache
def rules_of_files() -> tuple[Rule, ...]:
    """All detectors for the files that we write beside the rows."""
    from magpie_hub.scan.paths import ANY, KIND

    return (*(rule for rule in rules() if rule.kind != KIND), ANY)


def kinds() -> Mapping[str, bool]:
    """The kinds of findings, and whether each is personal data."""
    return MappingProxyType({rule.kind: rule.personal for rule in rules_of_files()})


def scan_text(text: str) -> Iterator[tuple[str, str]]:
    """Finds credentials and personal data in a text.

    Args:
        text: Any text, of any length, NULs and lone surrogates included.

    Yields:
        Kind and value, in order of their places, each once. Values are spelled in one way:
        addresses in lower case, numbers without separators.
    """
    for _, kind, value, _ in find([text]):
        yield kind, value


def suspects(texts: pa.Array) -> list[int]:
    """Which texts may hold something; all that do are among them.

    Args:
        texts: Of type ``large_binary``; nulls hold nothing.
    """
    return _matching(texts, _any_anchor(rules()))


def find(
    texts: Sequence[str], by: tuple[Rule, ...] | None = None
) -> Iterator[tuple[int, str, str, int]]:
    """Finds credentials and personal data in many texts.

    Args:
        texts: Any texts.
        by: The detectors; `rules` by default.

    Yields:
        Index of the text, kind, value, and where it begins; in that order, each value of a text
        once.
    """
    import pyarrow as pa

    pieces = [(index, *piece) for index, text in enumerate(texts) for piece in _pieces(text)]
    data = pa.array(
        [piece.encode("utf-8", "surrogatepass") for _, _, piece, _ in pieces], pa.large_binary()
    )
    by = rules() if by is None else by
    kept = _matching(data, _any_anchor(by))
    if not kept:
        return
    pieces, data = [pieces[at] for at in kept], data.take(pa.array(kept))
    found: dict[tuple[int, str, str], int] = {}
    taken: set[tuple[int, int, int]] = set()
    for rule in by:
        covered = _covered(taken) if rule.generic else {}
        for at in _matching(data, rule.anchor):
            index, offset, piece, is_last = pieces[at]
            for hit in rule.search(piece):
                # What a cut may have shortened stands whole in the neighbouring piece.
                cut = (offset and hit.start == 0) or (not is_last and hit.end == len(piece))
                if cut and hit.end - hit.start < OVERLAP:
                    continue
                span = (index, offset + hit.start, offset + hit.end)
                if rule.generic and _is_covered(span, covered):
                    continue
                if span not in taken:
                    taken.add(span)
                    found.setdefault((index, rule.kind, hit.value), offset + hit.start)
    ordered = sorted(found.items(), key=lambda item: (item[0][0], item[1]))
    for (index, kind, value), start in ordered:
        yield index, kind, value, start


def _covered(taken: Iterable[tuple[int, int, int]]) -> dict[int, list[tuple[int, int]]]:
    """Where hits are, by text: stretches in order, none of which touch."""
    found: dict[int, list[tuple[int, int]]] = {}
    for index, start, end in sorted(taken):
        spans = found.setdefault(index, [])
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return found


def _is_covered(span: tuple[int, int, int], covered: dict[int, list[tuple[int, int]]]) -> bool:
    index, start, end = span
    spans = covered.get(index, [])
    at = bisect_left(spans, (end, 0)) - 1  # the last that begins before the end
    return at >= 0 and spans[at][1] > start


def _pieces(text: str) -> Iterator[tuple[int, str, bool]]:
    """A text's pieces with their offsets, and whether each is the last."""
    begin = 0
    while len(text) - begin > PIECE:
        end = begin + PIECE
        space = max(text.rfind(blank, end - OVERLAP, end) for blank in " \n")
        end = space if space > 0 else end
        yield begin, text[begin:end], False
        begin = end - OVERLAP
    yield begin, text[begin:], True


@cache
def _any_anchor(by: tuple[Rule, ...]) -> str:
    return "|".join(f"(?:{rule.anchor})" for rule in by)


def _matching(texts: pa.Array, pattern: str) -> list[int]:
    import pyarrow.compute as pc

    found: list[int] = pc.indices_nonzero(
        pc.match_substring_regex(texts, pattern=pattern)
    ).to_pylist()
    return found
