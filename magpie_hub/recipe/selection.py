"""The selection section of a recipe: thresholds on the labels, by preset or one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from magpie_hub.recipe.base import Section
from magpie_hub.recipe.names import check_language
from magpie_hub.recipe.presets import RIVALS, Preset, fill_in

Quality = Literal["very poor", "poor", "average", "good", "excellent"]
Difficulty = Literal["very easy", "easy", "medium", "hard", "very hard"]
Threshold = Annotated[float, Field(allow_inf_nan=False)]
LanguageCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}$")]


class DifficultyMix(Section):
    """Shares of the delivered rows by difficulty: "easy", and harder than that.

    "Filter6" of Table 5 of arXiv 2406.08464v2 reads "50% easy + 50% > easy": "very easy" is in
    neither half and is dropped.
    """

    easy: float = Field(gt=0, lt=1, description='Share of "easy".')
    harder: float = Field(gt=0, lt=1, description='Share of "medium", "hard" and "very hard".')

    @model_validator(mode="after")
    def _adds_up(self) -> DifficultyMix:
        if abs(self.easy + self.harder - 1) > 1e-9:
            raise ValueError(f"the shares add up to {self.easy + self.harder:g}, not to 1")
        return self


class Selection(Section):
    """Which labelled rows are delivered; null switches a threshold off, and false a rule.

    A preset fills in the keys that are not written beside it. What each is taken from, and where
    the published accounts disagree: `magpie_hub.recipe.presets`.
    """

    preset: Preset | None = Field(
        None,
        description="A published filter: Table 5 of arXiv 2406.08464v2 (reward above -12, reward "
        "difference above 0), the card of Magpie-Pro-300K-Filtered (reward of at least -10), or "
        "the official filter notebook (reward above -10).",
    )
    min_quality: Quality | None = Field(None, description="The lowest that is kept.")
    min_difficulty: Difficulty | None = Field(None, description="The lowest that is kept.")
    reward_above: Threshold | None = Field(None, description="Kept when the reward is above it.")
    reward_at_least: Threshold | None = Field(None, description="Kept when it is reached.")
    reward_difference_above: Threshold | None = Field(
        None, description="Kept when the reward is more than this above the base model's."
    )
    drop_near_duplicates: bool = Field(
        False,
        description="Of near-duplicates the first row stays; what repeats a published set goes.",
    )
    drop_colon: bool = Field(False, description="Drop instructions that end with a colon.")
    require_safe: bool = Field(False, description="Keep what the guard calls safe.")
    languages: Annotated[tuple[LanguageCode, ...], Field(min_length=1)] | None = Field(
        None, description="ISO 639-1 codes of the languages kept, in either case."
    )
    longest: bool = Field(
        True, description="Of more rows than are wanted keep the longest, not the first."
    )
    difficulty_mix: DifficultyMix | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        return fill_in(given) if isinstance(given, Mapping) else given

    @field_validator("languages")
    @classmethod
    def _languages(cls, codes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for code in codes or ():
            check_language(code.lower(), special=False)
        return codes

    @model_validator(mode="after")
    def _agree(self) -> Selection:
        for one, other in RIVALS:
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"{one} and {other} exclude each other; keep one of them")
        return self

    def needs(self) -> frozenset[str]:
        """Names of the judges whose labels it reads.

        "tags", "reward", "base" (the base model's reward), "safety", "language", "neighbors".
        """
        difference = self.reward_difference_above is not None
        reads = {
            "tags": bool(self.min_quality or self.min_difficulty or self.difficulty_mix),
            "reward": difference
            or self.reward_above is not None
            or self.reward_at_least is not None,
            "base": difference,
            "safety": self.require_safe,
            "language": self.languages is not None,
            "neighbors": self.drop_near_duplicates,
        }
        return frozenset(judge for judge, read in reads.items() if read)
