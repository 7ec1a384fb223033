"""The contract of a detector: a kind, a cheap pattern, and a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Hit(NamedTuple):
    """A value in a text.

    Attributes:
        start: Where it begins, in characters.
        end: Where it ends.
        value: Spelled in one way: an address in lower case, a number without separators.
    """

    start: int
    end: int
    value: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One detector.

    Attributes:
        kind: What its hits are.
        anchor: A pattern in RE2's syntax, matched on UTF-8 bytes (`.` is one byte). It matches
            every text in which `search` has a hit, and few others: it is all that most texts are
            ever read by.
        search: The hits in a text.
        generic: Whether a hit counts only where no other rule has one.
        personal: Whether these are data about a person, not a credential.
    """

    kind: str
    anchor: str
    search: Callable[[str], Iterator[Hit]]
    personal: bool = False
    generic: bool = False
