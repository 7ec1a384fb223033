"""Rule `reward`: the response is worth this much, as the reward model sees it.

Source: column "reward" of Table 5 of arXiv 2406.08464v2 asks for more than tau1; the card of
Magpie-Pro-300K-Filtered for no less than its threshold. Hence the two ways to say it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection


@dataclass(frozen=True, slots=True)
class Reward:
    """Drops a row whose reward is too low.

    Attributes:
        threshold: In the reward model's raw units.
        inclusive: Whether a reward equal to it is enough.
    """

    name: ClassVar[str] = "reward"
    judges: ClassVar[tuple[str, ...]] = ("reward",)

    threshold: float
    inclusive: bool = False

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `reward_above` or `reward_at_least`."""
        if selection.reward_at_least is not None:
            return cls(selection.reward_at_least, inclusive=True)
        return None if selection.reward_above is None else cls(selection.reward_above)

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "reward" or "unjudged.reward"."""
        reward = row.instruct_reward
        if reward is None:
            return "unjudged.reward"
        enough = reward >= self.threshold if self.inclusive else reward > self.threshold
        return None if enough else self.name
