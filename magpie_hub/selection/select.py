"""Selecting: labelled rows in; kept row ids, and the reason of every other, out.

A row's verdict under the rules depends on its labels alone, and the last step (the longest, a mix)
on the set of rows that passed; so the order in which rows come decides nothing. Who wants the
shortest run of first rows that suffices adds rows in the order of their ids to a `Selector` and
stops when none is missing.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection
from magpie_hub.selection.rules import build_rules, first_reason
from magpie_hub.selection.shortlist import TopK


@dataclass(frozen=True, slots=True)
class Selected:
    """What became of the rows; each is kept or rejected, once.

    Attributes:
        kept: Row ids, rising.
        rejected: Row ids, rising, by reason.
    """

    kept: array[int]
    rejected: Mapping[str, array[int]]

    @property
    def counts(self) -> Counter[str]:
        """Rejected rows by reason."""
        return Counter({reason: len(row_ids) for reason, row_ids in self.rejected.items()})

    def reason(self, row_id: int) -> str | None:
        """Why a row is rejected; None if it is kept."""
        for reason, row_ids in self.rejected.items():
            place = bisect_left(row_ids, row_id)
            if place < len(row_ids) and row_ids[place] == row_id:
                return reason
        return None


class Selector:
    """A selection at work.

    Args:
        selection: The recipe's section.
        wanted: Rows to keep; None keeps all that pass, or all that the mix allows.
        oversample: Rows that must pass for each that is kept, before none is missing.

    Example:
        >>> selector = Selector(Selection(min_quality="good"), wanted=1)
        >>> selector.add(Labelled(0, input_quality="poor")), selector.missing
        ('selection.quality', 1)
        >>> selector.add(Labelled(1, input_quality="good")), selector.missing
        (None, 0)
        >>> selector.result().kept
        array('q', [1])
    """

    def __init__(
        self, selection: Selection, wanted: int | None = None, oversample: float = 1.0
    ) -> None:
        self._rules = build_rules(selection)
        self._shortlist = TopK(selection, wanted, oversample)
        self._rejected: dict[str, array[int]] = {}

    def add(self, row: LabeledRow) -> str | None:
        """Takes a row, each row id once.

        Returns:
            The reason of the first rule that rejects it; None if it is on the shortlist.
        """
        reason = first_reason(self._rules, row)
        if reason is None:
            self._shortlist.add(row)
        else:
            self._rejected.setdefault(reason, array("q")).append(row.row_id)
        return reason

    @property
    def passed(self) -> int:
        """Rows on the shortlist."""
        return len(self._shortlist)

    @property
    def missing(self) -> int:
        """Rows that must still pass, at least; 0 once there are enough, in every part of a mix."""
        return self._shortlist.missing

    def result(self) -> Selected:
        """What became of the rows so far; fewer are kept than are wanted while some are missing."""
        kept, left = self._shortlist.choose()
        rejected = {reason: array("q", sorted(ids)) for reason, ids in self._rejected.items()}
        if left:
            rejected[self._shortlist.reason] = left
        return Selected(kept, rejected)


def select(rows: Iterable[LabeledRow], selection: Selection, wanted: int | None = None) -> Selected:
    """Selects from all of the rows.

    Args:
        rows: In any order, each row id once.
        selection: The recipe's section.
        wanted: Rows to keep; None keeps all that pass, or all that the mix allows.
    """
    selector = Selector(selection, wanted)
    for row in rows:
        selector.add(row)
    return selector.result()
