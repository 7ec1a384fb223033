"""Rule `colon`: an instruction that announces something and then ends.

Source: `data_sft/data_filter.ipynb` of the official code, and the card of
Magpie-Pro-300K-Filtered ("incomplete instructions"). The gate of the same name drops such rows
before their response is paid for; this rule is for recipes that switch the gate off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection


@dataclass(frozen=True, slots=True)
class Colon:
    """Drops a row whose first instruction ends with a colon."""

    name: ClassVar[str] = "colon"
    judges: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `drop_colon`."""
        return cls() if selection.drop_colon else None

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, or "colon"."""
        return self.name if row.instruction_ends_with_colon else None
