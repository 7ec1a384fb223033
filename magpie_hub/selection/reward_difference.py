"""Rule `reward_difference`: the aligned model answers better than its base model.

Source: column "reward difference" of Table 5 of arXiv 2406.08464v2, above tau2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection


@dataclass(frozen=True, slots=True)
class RewardDifference:
    """Drops a row whose reward is not above the base model's by more than a margin.

    Attributes:
        threshold: In the reward model's raw units.
    """

    name: ClassVar[str] = "reward_difference"
    judges: ClassVar[tuple[str, ...]] = ("reward", "base")

    threshold: float

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `reward_difference_above`."""
        threshold = selection.reward_difference_above
        return None if threshold is None else cls(threshold)

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "reward_difference", "unjudged.reward" or "unjudged.base"."""
        if row.reward_difference is None:
            return "unjudged.reward" if row.instruct_reward is None else "unjudged.base"
        return None if row.reward_difference > self.threshold else self.name
