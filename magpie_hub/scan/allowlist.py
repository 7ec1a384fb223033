"""The allow-list: findings that the user has reviewed and lets pass.

One rule a line, a comment after ``#``::

    hf-token sha256:0123456789abcdef   # revoked; stands in an instruction
    email *@example.net                # our own support addresses

A hash lets one value of one kind pass. A pattern (as file names are matched, on the whole value,
case aside) is for personal data only: no credential passes because it looks like another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from magpie_hub.errors import UserError
from magpie_hub.scan.finding import mark
from magpie_hub.scan.text import kinds

_COMMENT = re.compile(r"(?:^|\s)#.*")
_HASH = re.compile(r"sha256:[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Allowed:
    """Parsed rules.

    Attributes:
        marks: Single values, as `Finding.mark` names them.
        patterns: Kinds of personal data, with patterns of values.
    """

    marks: frozenset[str] = frozenset()
    patterns: frozenset[tuple[str, str]] = frozenset()

    def lets_pass(self, kind: str, value: str) -> bool:
        """Whether a rule names this value."""
        return mark(kind, value) in self.marks or any(
            of == kind and fnmatchcase(value.lower(), pattern) for of, pattern in self.patterns
        )


def read_allowed(lines: Iterable[str]) -> Allowed:
    """Reads an allow-list.

    Args:
        lines: Its lines; those that are blank or a comment say nothing.

    Raises:
        UserError: A line is not a rule; the message gives its number and what a rule looks like.
    """
    marks: set[str] = set()
    patterns: set[tuple[str, str]] = set()
    for number, line in enumerate(lines, start=1):
        words = _COMMENT.sub("", line.strip("\ufeff\r\n")).split()
        if not words:
            continue
        problem = _problem(words)
        if problem:
            raise UserError(
                f"allow-list line {number}: {problem}; a rule is a kind and a hash as in "
                "'email sha256:0123456789abcdef', or for personal data a kind and a pattern as in "
                "'email *@example.net'"
            )
        kind, what = words
        if _HASH.fullmatch(what):
            marks.add(f"{kind} {what}")
        else:
            patterns.add((kind, what.lower()))
    return Allowed(frozenset(marks), frozenset(patterns))


def _problem(words: list[str]) -> str | None:
    """What is wrong with a rule; never repeats the value, which may be a credential."""
    personal = kinds()
    kind = words[0]
    if kind not in personal:
        return f"it begins with no known kind (known are {', '.join(personal)})"
    if len(words) != 2:
        return f"there are {len(words)} words in it"
    if _HASH.fullmatch(words[1]):
        return None
    if words[1].startswith("sha256:"):
        return "its hash does not have 16 hex digits in lower case"
    if not personal[kind]:
        return f"{kind} is a credential, which is allowed by its hash only"
    return None
