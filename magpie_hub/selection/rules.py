"""The rules, by name, and how a recipe's `selection` section becomes a set of them.

To add a rule: write its file (a frozen dataclass that follows `selection/base.py`), give it a key
in the recipe's `selection` section, and put its class into `RULES`. They are asked in that order,
and the first reason is the one that counts. What depends on other rows (the longest, a mix of
difficulties) is no rule's business: see `selection/shortlist.py`.
"""

from __future__ import annotations

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection
from magpie_hub.selection.base import Rule
from magpie_hub.selection.colon import Colon
from magpie_hub.selection.difficulty import Difficulty
from magpie_hub.selection.language import Language
from magpie_hub.selection.near_duplicate import NearDuplicate
from magpie_hub.selection.quality import Quality
from magpie_hub.selection.reward import Reward
from magpie_hub.selection.reward_difference import RewardDifference
from magpie_hub.selection.safety import Safety

RULES: tuple[type[Rule], ...] = (
    Colon,
    Language,
    Safety,
    Quality,
    Difficulty,
    NearDuplicate,
    Reward,
    RewardDifference,
)
"""Every rule, in the order in which they are asked: kinds first, degrees in Table 5's order."""


def build_rules(selection: Selection) -> tuple[Rule, ...]:
    """The rules that a recipe's `selection` section switches on, in the order of `RULES`."""
    return tuple(rule for cls in RULES if (rule := cls.of(selection)) is not None)


def first_reason(rules: tuple[Rule, ...], row: LabeledRow) -> str | None:
    """Returns "selection." and the first rule's reason, or None if all let the row pass.

    Example:
        >>> rules = build_rules(Selection(min_quality="good"))
        >>> first_reason(rules, Labelled(0, input_quality="average"))
        'selection.quality'
    """
    for rule in rules:
        reason = rule(row)
        if reason is not None:
            return f"selection.{reason}"
    return None
