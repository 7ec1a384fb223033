"""Selecting: labelled rows in; the ids of the rows kept, and the reason of every other row, out.

A row's verdict under the rules depends on its labels alone, and the last step (the longest, a mix)
on the set of rows that passed, so the order of the rows decides nothing. To find the shortest run
of first rows that suffices, add rows to a `Selector` in the order of their ids and stop when none
is missing.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection
from magpie_hub.selection.rules import build_rules, selection_reason


@dataclass(frozen=True, slots=True)
class Selected:
    """What became of the rows; each is kept or rejected, once.

    Attributes:
        kept: Row ids, rising.
        rejected: Row ids, rising, by reason.
    """

    kept: array[int]
    rejected: Mapping[str, array[int]]


LEFT_OUT = {
    "shorter": "passed, but the longest were kept",
    "mix": "passed, but its part of the mix of difficulties was full",
    "surplus": "passed, after enough others had",
}
"""Why a row that passed every rule is not kept, with the words of the card's funnel."""


@dataclass(slots=True)
class _Part:
    row_ids: array[int] = field(default_factory=lambda: array("q"))
    chars: array[int] = field(default_factory=lambda: array("q"))

    def ranked(self, longest: bool) -> list[int]:
        """Places of the rows, best first."""
        order = sorted(range(len(self.row_ids)), key=self.row_ids.__getitem__)
        if longest:
            # Stable: equally long rows stay in the order of their ids.
            order.sort(key=self.chars.__getitem__, reverse=True)
        return order


class TopK:
    """The rows that passed every rule, and which of them are kept.

    The last step of the paper's filters: of what passed, the k longest (App. C of arXiv
    2406.08464v2), by the characters of the responses; of equally long rows the lower row id. A
    recipe that does not ask for the longest gets the first. Under a mix of difficulties each part
    has its share of the rows, and the step is taken in each part by itself.

    Args:
        selection: Says whether the longest are kept, and the mix.
        wanted: Rows to keep; None keeps all, or all that the mix allows.
        oversample: Rows that must pass for each that is kept, at least 1.
    """

    def __init__(self, selection: Selection, wanted: int | None, oversample: float = 1.0) -> None:
        mix = selection.difficulty_mix
        self._mixed = mix is not None
        self._shares = (1.0,) if mix is None else (mix.easy, mix.harder)
        self._parts = tuple(_Part() for _ in self._shares)
        self._longest = selection.longest
        self._wanted = wanted
        self._needed = [math.ceil(n * oversample) for n in self._places(wanted or 0)]

    def __len__(self) -> int:
        return sum(len(part.row_ids) for part in self._parts)

    def add(self, row: LabeledRow) -> None:
        """Takes a row that passed every rule; the difficulty rule keeps what fits no part."""
        part = self._parts[1 if self._mixed and row.labels.get("difficulty") != "easy" else 0]
        part.row_ids.append(row.row_id)
        part.chars.append(row.response_chars)

    @property
    def missing(self) -> int:
        """Rows that must still pass, at least; 0 once there are enough in every part."""
        return sum(
            max(0, needed - len(part.row_ids))
            for needed, part in zip(self._needed, self._parts, strict=True)
        )

    @property
    def reason(self) -> str:
        """Why a row that passed is not kept: "selection." and a key of `LEFT_OUT`."""
        if self._mixed:
            return "selection.mix"
        return "selection.shorter" if self._longest else "selection.surplus"

    def choose(self) -> tuple[array[int], array[int]]:
        """Divides the rows.

        Returns:
            Ids of the rows that are kept, and of those that are not, both rising. A part with
            too few rows is kept whole, and the other is not made larger for it.
        """
        kept: list[int] = []
        left: list[int] = []
        wanted = self._most() if self._wanted is None else self._wanted
        for part, places in zip(self._parts, self._places(wanted), strict=True):
            order = [part.row_ids[place] for place in part.ranked(self._longest)]
            kept += order[:places]
            left += order[places:]
        return array("q", sorted(kept)), array("q", sorted(left))

    def _places(self, rows: int) -> list[int]:
        """Rows of each part, of so many rows in all."""
        bounds = [0, *(round(rows * share) for share in accumulate(self._shares))]
        return [upper - lower for lower, upper in pairwise(bounds)]

    def _most(self) -> int:
        """The most rows with which no part has more places than rows."""
        have = [len(part.row_ids) for part in self._parts]
        rows = len(self)
        if self._mixed:
            # Places are rounded: a part may have half a place less than its share.
            rows = min(int((n + 0.5) / share) for n, share in zip(have, self._shares, strict=True))
        while any(places > n for places, n in zip(self._places(rows), have, strict=True)):
            rows -= 1
        return rows


class Selector:
    """A selection at work.

    Args:
        selection: The recipe's section.
        wanted: Rows to keep; None keeps all that pass, or all that the mix allows.
        oversample: Rows that must pass for each that is kept, before none is missing.

    Example:
        >>> selector = Selector(Selection(min_quality="good"), wanted=1)
        >>> selector.add(LabeledRow(0, labels={"input_quality": "poor"})), selector.missing
        ('selection.quality', 1)
        >>> selector.add(LabeledRow(1, labels={"input_quality": "good"})), selector.missing
        (None, 0)
        >>> selector.result().kept
        array('q', [1])
    """

    def __init__(
        self, selection: Selection, wanted: int | None = None, oversample: float = 1.0
    ) -> None:
        self._rules = build_rules(selection)
        self._top = TopK(selection, wanted, oversample)
        self._rejected: dict[str, array[int]] = {}

    def add(self, row: LabeledRow) -> str | None:
        """Takes a row, each row id once.

        Returns:
            The reason of the first rule that rejects it; None if it passes.
        """
        reason = selection_reason(self._rules, row)
        if reason is None:
            self._top.add(row)
        else:
            self._rejected.setdefault(reason, array("q")).append(row.row_id)
        return reason

    @property
    def passed(self) -> int:
        """Rows that passed every rule."""
        return len(self._top)

    @property
    def missing(self) -> int:
        """Rows that must still pass, at least; 0 once there are enough, in every part of a mix."""
        return self._top.missing

    def result(self) -> Selected:
        """What became of the rows so far; fewer are kept than are wanted while some are missing."""
        kept, left = self._top.choose()
        rejected = {reason: array("q", sorted(ids)) for reason, ids in self._rejected.items()}
        if left:
            rejected[self._top.reason] = left
        return Selected(kept, rejected)
