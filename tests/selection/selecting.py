"""A selection of all rows, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection
from magpie_hub.selection.select import Selected, Selector


def select(rows: Iterable[LabeledRow], selection: Selection, wanted: int | None = None) -> Selected:
    selector = Selector(selection, wanted)
    for row in rows:
        selector.add(row)
    return selector.result()


def reasons(selected: Selected) -> dict[int, str]:
    """Why rows are rejected, by row id."""
    return {row_id: reason for reason, ids in selected.rejected.items() for row_id in ids}
