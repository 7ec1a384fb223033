"""Rule `safety`: what the guard model calls unsafe is dropped.

Source: ours. The published filters only label safety (Table 6 of arXiv 2406.08464v2 finds less
than 1 % of the rows unsafe); no preset switches this on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection


@dataclass(frozen=True, slots=True)
class Safety:
    """Drops a row that the guard does not call safe."""

    name: ClassVar[str] = "safety"
    judges: ClassVar[tuple[str, ...]] = ("safety",)

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `require_safe`."""
        return cls() if selection.require_safe else None

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "safety" or "unjudged.safety"."""
        if row.safe is None:
            return "unjudged.safety"
        return None if row.safe else self.name
