"""Gate `repeated_items`: a list says the same item again, in other words or as it is.

Rules, for lists of `min_items` items or more (lines that begin with a number or a bullet):

* `title`: more than `max_share` of the items have a title ("**Rest**: …", "Rest: …") that an
  earlier item has, numbers aside;
* `item`: more than `max_share` of the items repeat an earlier one, letter for letter, or so that of
  their words, without the shortest ones, at least `similar` are the same (of all words of the two,
  as sets; of at least three).

Lists in code are not looked at: schedules, scores and forms repeat themselves by right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role, check_integer, check_share

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_ITEM = re.compile(r"^[ \t]*(?:\d{1,3}[.):]|[-*•+–])[ \t]+(\S.*)$", re.MULTILINE)
_BULLETS = frozenset("-*•+–")
_TITLE = re.compile(r"(?:\*\*|__)(.{3,60}?)(?:\*\*|__)|([A-Z][^:.!?\n]{2,50}):")
_WORD = re.compile(r"[^\W\d_]{3,}")
_SMALL = frozenset(
    "the and for with that this your you are can will from into which has have not its their they "
    "them also but was were been being our his her who how what when where more most such than "
    "each any all may make".split()
)


@dataclass(frozen=True, slots=True)
class RepeatedItems(Gate):
    """Rejects a list that repeats its items, letter for letter or with a variation.

    Attributes:
        min_items: Shorter lists pass.
        max_share: Share of the items that may repeat an earlier one, in [0, 1].
        similar: From this share of common words on, two items are the same, in [0, 1].
    """

    name: ClassVar[str] = "repeated_items"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "a list that repeats its items"
    roles: ClassVar[tuple[Role, ...]] = ("user", "assistant")

    min_items: int = 4
    max_share: float = 0.25
    similar: float = 0.6

    def __post_init__(self) -> None:
        check_integer(self.name, "min_items", self.min_items, 2, 1_000)
        check_share(self.name, "max_share", self.max_share)
        check_share(self.name, "similar", self.similar)

    def __call__(self, message: Message) -> str | None:
        """Returns None, "repeated_items:title" or "repeated_items:item"."""
        text = message.text
        if "```" in text:
            text = _CODE.sub("\n", text)
        if sum(map(_may_be_item, text.split("\n"))) < self.min_items:
            return None
        items: list[str] = _ITEM.findall(text)
        if len(items) < self.min_items:
            return None
        most = self.max_share * len(items)
        titles = [title for item in items if (title := _title(item))]
        if len(titles) >= self.min_items and len(titles) - len(set(titles)) > most:
            return f"{self.name}:title"
        return f"{self.name}:item" if self._repeats(items) > most else None

    def _repeats(self, items: list[str]) -> int:
        """How many items repeat an earlier one; of a list without end, of its first hundred."""
        seen: list[frozenset[str]] = []
        said: set[str] = set()
        count = 0
        for item in items[:100]:
            if item in said:
                count += 1
                continue
            said.add(item)
            words = frozenset(_WORD.findall(item.lower())) - _SMALL
            if len(words) < 3:
                continue
            count += any(self._alike(words, other) for other in seen)
            seen.append(words)
        return count

    def _alike(self, one: frozenset[str], other: frozenset[str]) -> bool:
        shorter, longer = sorted((len(one), len(other)))
        # So different in size, they cannot share enough: most pairs end here.
        if shorter < self.similar * longer:
            return False
        common = len(one & other)
        return common >= self.similar * (shorter + longer - common)


def _may_be_item(line: str) -> bool:
    first = line.lstrip(" \t")[:1]
    return first in _BULLETS or first.isdecimal()


def _title(item: str) -> str | None:
    found = _TITLE.match(item)
    if found is None:
        return None
    words = _WORD.findall((found[1] or found[2]).lower())
    return " ".join(words) if words else None
