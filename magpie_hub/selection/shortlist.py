"""The shortlist: rows that passed every rule, and which of them are kept.

The last step of the paper's filters: of what passed, the k longest (App. C of arXiv 2406.08464v2),
by the characters of the responses; of equally long rows the lower row id. A recipe that does not
ask for the longest gets the first. Under a mix of difficulties each part has its share of the
rows, and the step is taken in each part by itself.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection

SHORTER = "selection.shorter"
"""Reason of a row that passed and was not among the longest."""

MIX = "selection.mix"
"""Reason of a row that passed and for which its part of the mix had no place."""

SURPLUS = "selection.surplus"
"""Reason of a row that passed after enough others had."""


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
    """Rows that passed every rule.

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
        part = self._parts[1 if self._mixed and row.difficulty != "easy" else 0]
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
        """Why a row of the list is not kept."""
        if self._mixed:
            return MIX
        return SHORTER if self._longest else SURPLUS

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
