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
from dataclasses import dataclass
from typing import ClassVar, Self, get_args

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Difficulty, DifficultyMix, Quality, Selection


class Rule(ABC):
    """A condition on one labelled row.

    Attributes:
        name: The reason of a row that does not meet it.
        keys: The keys of the recipe's `selection` section that switch it on.
        doc: Each of its reasons in words, for the card's funnel.
    """

    name: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]
    doc: ClassVar[Mapping[str, str]]

    @classmethod
    @abstractmethod
    def of(cls, selection: Selection) -> Self | None:
        """The rule as a recipe sets it, or None where it is off."""

    @property
    @abstractmethod
    def condition(self) -> tuple[str, str]:
        """The column it looks at and what it asks of it, for the card's table."""

    @abstractmethod
    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None to pass, or the reason: one of `doc`, or "unjudged." and a judge."""


@dataclass(frozen=True)
class NoTrailingColon(Rule):
    """The first instruction does not announce something and then end.

    Source: `data_sft/data_filter.ipynb` of the official code, and the card of
    Magpie-Pro-300K-Filtered ("incomplete instructions"). The gate `colon` drops such rows before
    their response is generated; this rule is for recipes that switch the gate off.
    """

    name = "colon"
    keys = ("drop_colon",)
    doc: ClassVar = {"colon": "the instruction ends with a colon"}
    condition = ("instruction", "does not end with a colon")

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `drop_colon`."""
        return cls() if selection.drop_colon else None

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, or "colon"."""
        return self.name if row.instruction_ends_with_colon else None


@dataclass(frozen=True)
class AskedLanguage(Rule):
    """The instruction is in a language that the recipe asks for.

    Source: the card of Magpie-Qwen2-Pro-200K-Chinese, which keeps one language. A row in which no
    language was found is in none of those asked for.

    Attributes:
        codes: ISO 639-1 codes that are kept, as the recipe writes them.
    """

    name = "language"
    keys = ("languages",)
    doc: ClassVar = {"language": "in a language that was not asked for"}

    codes: tuple[str, ...]

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `languages`."""
        return None if selection.languages is None else cls(selection.languages)

    @property
    def condition(self) -> tuple[str, str]:
        """The codes as written."""
        return "language", "one of " + ", ".join(self.codes)

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "language" or "unjudged.language"."""
        code = row.labels.get("language")
        if code is None:
            return "unjudged.language" if "language" in row.failures else self.name
        return None if code.lower() in map(str.lower, self.codes) else self.name


@dataclass(frozen=True)
class CalledSafe(Rule):
    """The guard model calls the row safe.

    Source: ours. The published filters only label safety (Table 6 of arXiv 2406.08464v2 finds less
    than 1 % of the rows unsafe); no preset switches this on.
    """

    name = "safety"
    keys = ("require_safe",)
    doc: ClassVar = {"safety": "not safe, says the guard"}
    condition = ("safe", "true")

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `require_safe`."""
        return cls() if selection.require_safe else None

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "safety" or "unjudged.safety"."""
        safe = row.labels.get("safe")
        return "unjudged.safety" if safe is None else None if safe else self.name


@dataclass(frozen=True)
class AtLeast(Rule):
    """A label of the tagger reaches a level.

    Levels are compared by their rank, never as texts ("poor" sorts after "good").

    Attributes:
        kept: The levels that are kept, from the lowest.
    """

    column: ClassVar[str]
    levels: ClassVar[tuple[str, ...]]

    kept: tuple[str, ...]

    @property
    def condition(self) -> tuple[str, str]:
        """The lowest level."""
        return self.column, f"at least {self.kept[0]}"

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, the rule's name or "unjudged.tags"."""
        level = row.labels.get(self.column)
        if level is None:
            return "unjudged.tags"
        return None if level in self.kept else self.name


class MinQuality(AtLeast):
    """Source: column "quality" of Table 5 of arXiv 2406.08464v2."""

    name = "quality"
    keys = ("min_quality",)
    doc: ClassVar = {"quality": "below the quality asked for"}
    column = "input_quality"
    levels = get_args(Quality)

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `min_quality`."""
        least = selection.min_quality
        return None if least is None else cls(cls.levels[cls.levels.index(least) :])


@dataclass(frozen=True)
class MinDifficulty(AtLeast):
    """Source: column "difficulty" of Table 5 of arXiv 2406.08464v2.

    Under a mix of "easy" and harder rows (its "Filter6") what is below "easy" is in neither part.

    Attributes:
        mix: The shares of the parts, which `select` fills.
    """

    name = "difficulty"
    keys = ("min_difficulty", "difficulty_mix")
    doc: ClassVar = {"difficulty": "below the difficulty asked for, or in no part of the mix"}
    column = "difficulty"
    levels = get_args(Difficulty)

    mix: DifficultyMix | None = None

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `min_difficulty`, and from "easy" with `difficulty_mix`."""
        mix = selection.difficulty_mix
        least = "easy" if mix else selection.min_difficulty
        return None if least is None else cls(cls.levels[cls.levels.index(least) :], mix)

    @property
    def condition(self) -> tuple[str, str]:
        """The lowest level, or the shares."""
        if self.mix is None:
            return super().condition
        return self.column, f"{self.mix.easy:.0%} easy, {self.mix.harder:.0%} harder than easy"


@dataclass(frozen=True)
class FirstOfNearDuplicates(Rule):
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
    condition = ("min_similar_uuid", "none, or the row itself")

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


@dataclass(frozen=True)
class MinReward(Rule):
    """The reward model's score of the response is high enough.

    Source: column "reward" of Table 5 of arXiv 2406.08464v2 asks for more than tau1; the card of
    Magpie-Pro-300K-Filtered for no less than its threshold. Hence the two ways to say it.

    Attributes:
        threshold: In the reward model's raw units.
        inclusive: Whether a reward equal to it is enough.
    """

    name = "reward"
    keys = ("reward_above", "reward_at_least")
    doc: ClassVar = {"reward": "reward too low"}

    threshold: float
    inclusive: bool = False

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `reward_above` or `reward_at_least`."""
        if selection.reward_at_least is not None:
            return cls(selection.reward_at_least, inclusive=True)
        return None if selection.reward_above is None else cls(selection.reward_above)

    @property
    def condition(self) -> tuple[str, str]:
        """The threshold."""
        return "instruct_reward", f"{'at least' if self.inclusive else 'above'} {self.threshold:g}"

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "reward" or "unjudged.reward"; a reward that is NaN is too low."""
        reward = row.labels.get("instruct_reward")
        if reward is None:
            return "unjudged.reward"
        enough = reward >= self.threshold if self.inclusive else reward > self.threshold
        return None if enough else self.name


@dataclass(frozen=True)
class MinRewardDifference(Rule):
    """The response is rewarded more than the base model's answer, by more than a margin.

    Source: column "reward difference" of Table 5 of arXiv 2406.08464v2, above tau2.

    Attributes:
        threshold: In the reward model's raw units.
    """

    name = "reward_difference"
    keys = ("reward_difference_above",)
    doc: ClassVar = {"reward_difference": "not enough better than the base model's answer"}

    threshold: float

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `reward_difference_above`."""
        threshold = selection.reward_difference_above
        return None if threshold is None else cls(threshold)

    @property
    def condition(self) -> tuple[str, str]:
        """The threshold."""
        return "reward_difference", f"above {self.threshold:g}"

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "reward_difference", "unjudged.reward" or "unjudged.base"."""
        difference = row.labels.get("reward_difference")
        if difference is None:
            scored = row.labels.get("instruct_reward") is not None
            return "unjudged.base" if scored else "unjudged.reward"
        return None if difference > self.threshold else self.name


RULES: tuple[type[Rule], ...] = (
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

UNJUDGED = "lacks a label that the selection asks for"
"""What the reason "unjudged" says."""


def build_rules(selection: Selection) -> tuple[Rule, ...]:
    """The rules that a recipe's `selection` section switches on, in the order of `RULES`."""
    return tuple(rule for cls in RULES if (rule := cls.of(selection)) is not None)


def first_reason(rules: tuple[Rule, ...], row: LabeledRow) -> str | None:
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
    order = [key for key in Selection.model_fields if selection.is_on(key)]
    rules = build_rules(selection)
    return [rule.condition for key in order for rule in rules if key in rule.keys]
