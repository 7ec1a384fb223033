"""Rule `near_duplicate`: of instructions that say nearly the same, the first row stays.

Source: "minimum neighbor distance > 0" of Table 5 of arXiv 2406.08464v2, as the official code
runs it: `data_sft/data_filter.ipynb` keeps a row without near-duplicates, or one whose
near-duplicates all come later. A row stays or goes by its neighbors alone, whatever other rules
say of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Drops a row that comes near an earlier one, or near one that is published already."""

    name: ClassVar[str] = "near_duplicate"
    judges: ClassVar[tuple[str, ...]] = ("neighbors",)

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `drop_near_duplicates`."""
        return cls() if selection.drop_near_duplicates else None

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "near_duplicate", "published" or "unjudged.neighbors"."""
        if "neighbors" in row.failures:
            return "unjudged.neighbors"
        if row.published is not None:
            return "published"
        return None if row.leader is None or row.leader == row.row_id else self.name
