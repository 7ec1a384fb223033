"""What a scan looks for (a rule) and what it says: a finding names a value without showing it.

Reports end up in terminals and CI logs, so a value is shown by its edges only, and an allow-list
names it by a hash. The hash names a value and does not hide it: a card or phone number has few
enough values to try them all, so an allow-list with hashes of those is not for publishing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

MOST = 10_000
"""Findings that a report lists; more are counted only."""


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


@dataclass(frozen=True, slots=True)
class Finding:
    """One value in one place.

    Attributes:
        kind: What it is: "hf-token", "email", …; one of `magpie_hub.scan.text.kinds`.
        place: Where it stands, such as ``README.md line 12`` or
            ``data/default/train-00000-of-00001.parquet row <uuid> column instruction``.
        shown: Its first and last characters, three each at most.
        mark: What an allow-list names it by: ``<kind> sha256:<16 hex digits>``.
    """

    kind: str
    place: str
    shown: str
    mark: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a scan of a folder found.

    Attributes:
        findings: What is not allowed, in files of text and then in rows; the first `MOST` of it.
        counts: All that is not allowed, by kind, most frequent first.
        allowed: How many values an allow-list let pass.
        rows: Rows scanned.
        seconds: How long it took.
    """

    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    allowed: int
    rows: int
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether nothing was found but what is allowed."""
        return not self.counts

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "clean": self.clean,
            "findings": [asdict(finding) for finding in self.findings],
            "counts": dict(self.counts),
            "allowed": self.allowed,
            "rows": self.rows,
            "seconds": self.seconds,
        }


def to_finding(kind: str, value: str, place: str) -> Finding:
    """Names a value that stands in a place."""
    return Finding(kind, place, mask(value), mark(kind, value))


def mark(kind: str, value: str) -> str:
    """What an allow-list names a value by."""
    text = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
    return f"{kind} sha256:{hashlib.sha256(text).hexdigest()[:16]}"


def mask(value: str) -> str:
    """A value's edges, a third of it at most; nothing of a very short one."""
    edge = min(3, len(value) // 6)
    shown = f"{value[:edge]}…{value[len(value) - edge :]}"
    return "".join(char if char.isprintable() else "?" for char in shown)
