"""Rule `quality`: the instruction is at least this good, as the tagger sees it.

Source: column "quality" of Table 5 of arXiv 2406.08464v2. Levels are compared by their rank,
never as texts ("poor" sorts after "good").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self, get_args

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe import selection as section
from magpie_hub.recipe.selection import Selection

LEVELS: tuple[str, ...] = get_args(section.Quality)
"""From the lowest to the highest."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Drops a row below a level.

    Attributes:
        levels: Those that are kept.
    """

    name: ClassVar[str] = "quality"
    judges: ClassVar[tuple[str, ...]] = ("tags",)

    levels: tuple[str, ...]

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `min_quality`."""
        if selection.min_quality is None:
            return None
        return cls(LEVELS[LEVELS.index(selection.min_quality) :])

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "quality" or "unjudged.tags"."""
        if row.input_quality is None:
            return "unjudged.tags"
        return None if row.input_quality in self.levels else self.name
