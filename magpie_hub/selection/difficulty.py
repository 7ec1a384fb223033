"""Rule `difficulty`: the instruction is at least this hard, as the tagger sees it.

Source: column "difficulty" of Table 5 of arXiv 2406.08464v2. Under a mix of "easy" and harder
rows (its "Filter6") what is below "easy" belongs to neither part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self, get_args

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe import selection as section
from magpie_hub.recipe.selection import Selection

LEVELS: tuple[str, ...] = get_args(section.Difficulty)
"""From the lowest to the highest."""


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Drops a row below a level.

    Attributes:
        levels: Those that are kept.
    """

    name: ClassVar[str] = "difficulty"
    judges: ClassVar[tuple[str, ...]] = ("tags",)

    levels: tuple[str, ...]

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `min_difficulty`, and from "easy" with `difficulty_mix`."""
        least = "easy" if selection.difficulty_mix else selection.min_difficulty
        return None if least is None else cls(LEVELS[LEVELS.index(least) :])

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "difficulty" or "unjudged.tags"."""
        if row.difficulty is None:
            return "unjudged.tags"
        return None if row.difficulty in self.levels else self.name
