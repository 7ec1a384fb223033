"""The selection's rules: each looks at one labelled row and returns None or a reason.

A rule sees one row at a time, so its verdict depends on no other row and on no order. A row that
lacks a label the rule reads is rejected as unjudged: a judge's failure never passes a row. What
depends on other rows (the longest, a mix of difficulties) is done in `magpie_hub.selection.select`.

To add a rule: give it a key in `magpie_hub.recipe.selection`, write its class here, and list it in
`RULES`. The card's texts come from the class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, get_args

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Difficulty, Quality, Selection

UNJUDGED = "lacks a label that the selection asks for"
"""What the reason "unjudged" says."""


class SelectionRule(ABC):
    """A condition on one labelled row, as a recipe's `selection` section sets it.

    Attributes:
        name: The reason of a row that does not meet it.
        keys: The keys of the section that switch it on.
        doc: Each of its reasons in words, for the card's funnel.
        column: The column it looks at.
    """

    name: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]
    doc: ClassVar[Mapping[str, str]]
    column: ClassVar[str]

    def __init__(self, selection: Selection) -> None:
        self.selection = selection

    @property
    @abstractmethod
    def asks(self) -> str:
        """What it asks of the column, for the card's table."""

    @abstractmethod
    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None to pass, or the reason: a key of `doc`, or "unjudged." and a judge."""


class NoTrailingColon(SelectionRule):
    """The first instruction does not announce something and then end.

    Source: `data_sft/data_filter.ipynb` of the official code, and the card of
    Magpie-Pro-300K-Filtered ("incomplete instructions"). The gate `colon` drops such rows before
    their response is generated; this rule is for recipes that switch the gate off.
    """

    name = "colon"
    keys = ("drop_colon",)
    doc: ClassVar = {"colon": "the instruction ends with a colon"}
    column = "instruction"
    asks = "does not end with a colon"

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, or "colon"."""
        return self.name if row.instruction_ends_with_colon else None


class AskedLanguage(SelectionRule):
    """The instruction is in a language that the recipe asks for.

    Source: the card of Magpie-Qwen2-Pro-200K-Chinese, which keeps one language. A row in which no
    language was found is in none of those asked for.
    """

    name = "language"
    keys = ("languages",)
    doc: ClassVar = {"language": "in a language that was not asked for"}
    column = "language"

    @property
    def asks(self) -> str:
        """The codes as written."""
        return "one of " + ", ".join(self.selection.languages or ())

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "language" or "unjudged.language"."""
        code = row.labels.get(self.column)
        if code is None:
            return "unjudged.language" if "language" in row.failures else self.name
        wanted = map(str.lower, self.selection.languages or ())
        return None if code.lower() in wanted else self.name


class CalledSafe(SelectionRule):
    """The guard model calls the row safe.

    Source: ours. The published filters only label safety (Table 6 of arXiv 2406.08464v2 finds less
    than 1 % of the rows unsafe); no preset switches this on.
    """

    name = "safety"
    keys = ("require_safe",)
    doc: ClassVar = {"safety": "not safe, says the guard"}
    column = "safe"
    asks = "true"

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "safety" or "unjudged.safety"."""
        safe = row.labels.get(self.column)
        return "unjudged.safety" if safe is None else None if safe else self.name


class AtLeast(SelectionRule):
    """A label of the tagger reaches a level.

    Levels are compared by their rank, never as texts ("poor" sorts after "good").
    """

    levels: ClassVar[tuple[str, ...]]

    def __init__(self, selection: Selection) -> None:
        super().__init__(selection)
        self._kept = self.levels[self.levels.index(self.least(selection)) :]

    @staticmethod
    @abstractmethod
    def least(selection: Selection) -> str:
        """The lowest level that is kept."""

    @property
    def asks(self) -> str:
        """The lowest level."""
        return f"at least {self._kept[0]}"

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, the rule's name or "unjudged.tags"."""
        level = row.labels.get(self.column)
        if level is None:
            return "unjudged.tags"
        return None if level in self._kept else self.name


class MinQuality(AtLeast):
    """Source: column "quality" of Table 5 of arXiv 2406.08464v2."""

    name = "quality"
    keys = ("min_quality",)
    doc: ClassVar = {"quality": "below the quality asked for"}
    column = "input_quality"
    levels = get_args(Quality)

    @staticmethod
    def least(selection: Selection) -> str:
        """`min_quality`."""
        return selection.min_quality or MinQuality.levels[0]


class MinDifficulty(AtLeast):
    """Source: column "difficulty" of Table 5 of arXiv 2406.08464v2.

    Under a mix of "easy" and harder rows (its "Filter6") what is below "easy" is in neither part.
    """

    name = "difficulty"
    keys = ("min_difficulty", "difficulty_mix")
    doc: ClassVar = {"difficulty": "below the difficulty asked for, or in no part of the mix"}
    column = "difficulty"
    levels = get_args(Difficulty)

    @staticmethod
    def least(selection: Selection) -> str:
        """`min_difficulty`, or "easy" under a mix."""
        return selection.min_difficulty or "easy"

    @property
    def asks(self) -> str:
        """The lowest level, or the shares of the mix."""
        mix = self.selection.difficulty_mix
        return f"{mix.easy:.0%} easy, {mix.harder:.0%} harder than easy" if mix else super().asks


class FirstOfNearDuplicates(SelectionRule):
    """Of instructions that say nearly the same, the row is the first.

    Source: "minimum neighbor distance > 0" of Table 5 of arXiv 2406.08464v2, as the official code
    runs it: `data_sft/data_filter.ipynb` keeps a row without near-duplicates, or one whose
    near-duplicates all come later. A row stays or goes by its neighbors alone, whatever other
    rules say of them.
    """

    name = "near_duplicate"
    keys = ("drop_near_duplicates",)
    doc: ClassVar = {
        "near_duplicate": "nearly the same as an earlier row",
        "published": "nearly the same as a row already published",
    }
    column = "min_similar_uuid"
    asks = "none, or the row itself"

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "near_duplicate", "published" or "unjudged.neighbors"."""
        if "neighbors" in row.failures:
            return "unjudged.neighbors"
        if row.published is not None:
            return "published"
        return None if row.leader is None or row.leader == row.row_id else self.name


class MinReward(SelectionRule):
    """The reward model's score of the response is high enough; NaN is too low.

    Source: column "reward" of Table 5 of arXiv 2406.08464v2 asks for more than tau1; the card of
    Magpie-Pro-300K-Filtered for no less than its threshold. Hence the two keys.
    """

    name = "reward"
    keys = ("reward_above", "reward_at_least")
    doc: ClassVar = {"reward": "reward too low"}
    column = "instruct_reward"

    @property
    def asks(self) -> str:
        """The threshold, in the reward model's raw units."""
        least = self.selection.reward_at_least
        return f"above {self.selection.reward_above:g}" if least is None else f"at least {least:g}"

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "reward" or "unjudged.reward"."""
        reward = row.labels.get(self.column)
        if reward is None:
            return "unjudged.reward"
        least, above = self.selection.reward_at_least, self.selection.reward_above
        enough = reward >= least if least is not None else reward > above
        return None if enough else self.name


class MinRewardDifference(SelectionRule):
    """The response is rewarded more than the base model's answer, by more than a margin.

    Source: column "reward difference" of Table 5 of arXiv 2406.08464v2, above tau2.
    """

    name = "reward_difference"
    keys = ("reward_difference_above",)
    doc: ClassVar = {"reward_difference": "not enough better than the base model's answer"}
    column = "reward_difference"

    @property
    def asks(self) -> str:
        """The margin, in the reward model's raw units."""
        return f"above {self.selection.reward_difference_above:g}"

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "reward_difference", "unjudged.reward" or "unjudged.base"."""
        difference = row.labels.get(self.column)
        if difference is None:
            scored = row.labels.get("instruct_reward") is not None
            return "unjudged.base" if scored else "unjudged.reward"
        return None if difference > self.selection.reward_difference_above else self.name


RULES: tuple[type[SelectionRule], ...] = (
    NoTrailingColon,
    AskedLanguage,
    CalledSafe,
    MinQuality,
    MinDifficulty,
    FirstOfNearDuplicates,
    MinReward,
    MinRewardDifference,
)
"""Every rule, in the order in which they are asked: kinds first, degrees in Table 5's order."""


def build_rules(selection: Selection) -> tuple[SelectionRule, ...]:
    """The rules that a recipe's `selection` section switches on, in the order of `RULES`."""
    return tuple(rule(selection) for rule in RULES if any(map(selection.is_on, rule.keys)))


def selection_reason(rules: tuple[SelectionRule, ...], row: LabeledRow) -> str | None:
    """Returns "selection." and the first rule's reason, or None if all let the row pass.

    Example:
        >>> rules = build_rules(Selection(min_quality="good"))
        >>> first_reason(rules, LabeledRow(0, labels={"input_quality": "average"}))
        'selection.quality'
    """
    for rule in rules:
        reason = rule(row)
        if reason is not None:
            return f"selection.{reason}"
    return None


def conditions(selection: Selection) -> list[tuple[str, str]]:
    """What a selection asks for: column and condition, in the order of the section's keys."""
    rules = build_rules(selection)
    on = filter(selection.is_on, Selection.model_fields)
    return [(rule.column, rule.asks) for key in on for rule in rules if key in rule.keys]
