"""The selection section of a recipe: thresholds on the labels, by preset or one by one.

The presets are published filters. Table 5 of arXiv 2406.08464v2 gives seven, with tau1 = -12 and
tau2 = 0 (App. C). It asks for a reward above tau1, or a reward difference above tau2, and for a
minimum neighbor distance above 0; what the authors ran for the latter is the near-duplicate rule
of `exp/gen_dis.py`, and that is what the presets take. The table says nothing of instructions that
end with ':'.

Two published accounts of the same filter differ from the table, and from each other:

* ``pro-300k-card``, the card of Magpie-Pro-300K-Filtered: reward of at least -10, repeated and
  incomplete instructions (ending with ':') removed.
* ``notebook``, `data_sft/data_filter.ipynb` of the official code: quality good or better, reward
  above -10, no ':' at the end, the near-duplicate rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from magpie_hub.recipe.base import Section
from magpie_hub.recipe.names import check_language

Quality = Literal["very poor", "poor", "average", "good", "excellent"]
Difficulty = Literal["very easy", "easy", "medium", "hard", "very hard"]
Threshold = Annotated[float, Field(allow_inf_nan=False)]
Preset = Literal[
    "air-filter",
    "pro-filter",
    "pro-filter2",
    "pro-filter3",
    "pro-filter4",
    "pro-filter5",
    "pro-filter6",
    "pro-300k-card",
    "notebook",
]
LanguageCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}$")]

_UNIQUE = {"drop_near_duplicates": True, "longest": True}
_TAU1 = {"reward_above": -12.0}
_TAU2 = {"reward_difference_above": 0.0}
_GOOD_EASY = {"min_quality": "good", "min_difficulty": "easy"}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "air-filter": {**_UNIQUE, **_TAU2, "min_quality": "good", "min_difficulty": "medium"},
    "pro-filter": {**_UNIQUE, **_TAU1, "min_quality": "average"},
    "pro-filter2": {**_UNIQUE, **_TAU1, **_GOOD_EASY},
    "pro-filter3": {**_UNIQUE, **_TAU1},
    "pro-filter4": {**_UNIQUE, **_TAU2, **_GOOD_EASY},
    "pro-filter5": {**_UNIQUE, **_TAU1, **_GOOD_EASY, "longest": False},
    "pro-filter6": {**_UNIQUE, **_TAU1, "difficulty_mix": {"easy": 0.5, "harder": 0.5}},
    "pro-300k-card": {
        **_UNIQUE,
        "min_quality": "average",
        "reward_at_least": -10.0,
        "drop_colon": True,
    },
    "notebook": {**_UNIQUE, "min_quality": "good", "reward_above": -10.0, "drop_colon": True},
}
"""Keys of a recipe's `selection` section, by preset."""

READS: Mapping[str, tuple[str, ...]] = {
    "min_quality": ("tags",),
    "min_difficulty": ("tags",),
    "difficulty_mix": ("tags",),
    "reward_above": ("reward",),
    "reward_at_least": ("reward",),
    "reward_difference_above": ("reward", "base"),
    "require_safe": ("safety",),
    "languages": ("language",),
    "drop_near_duplicates": ("neighbors",),
}
"""Names of the judges whose labels a key of the section reads, by key."""

RIVALS = (("reward_above", "reward_at_least"), ("min_difficulty", "difficulty_mix"))
"""Keys of which a selection has at most one."""


def _with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the keys of a section's preset to those that the user wrote.

    A key that is written wins over the preset's, null included, and one of two rivals replaces
    the other. Filling in twice changes nothing, so a section may be written out and read again.

    Args:
        given: The section as written; an unknown preset adds nothing.
    """
    preset = given.get("preset")
    filled = dict(PRESETS.get(preset, {})) if isinstance(preset, str) else {}
    for one, other in RIVALS:
        if given.get(one) is not None:
            filled.pop(other, None)
        elif given.get(other) is not None:
            filled.pop(one, None)
    return {**filled, **given}


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
    """Which labelled rows are delivered; null switches a threshold off, false a rule.

    A preset sets the keys that the recipe does not set.
    """

    preset: Preset | None = Field(
        None,
        description="A published filter: Table 5 of arXiv 2406.08464v2 (reward above -12, reward "
        "difference above 0), the card of Magpie-Pro-300K-Filtered (reward of at least -10), or "
        "the official filter notebook (reward above -10).",
    )
    min_quality: Quality | None = Field(None, description="The lowest quality that is kept.")
    min_difficulty: Difficulty | None = Field(
        None, description="The lowest difficulty that is kept."
    )
    reward_above: Threshold | None = Field(None, description="Keep rows with a reward above this.")
    reward_at_least: Threshold | None = Field(
        None, description="Keep rows with at least this reward."
    )
    reward_difference_above: Threshold | None = Field(
        None, description="Keep rows whose reward exceeds the base model's by more than this."
    )
    drop_near_duplicates: bool = Field(
        False,
        description="Keep the first row of near-duplicates; drop rows that repeat a published set.",
    )
    drop_colon: bool = Field(False, description="Drop instructions that end with a colon.")
    require_safe: bool = Field(False, description="Keep only rows that the guard calls safe.")
    languages: Annotated[tuple[LanguageCode, ...], Field(min_length=1)] | None = Field(
        None, description="Languages to keep: ISO 639-1 codes, upper or lower case."
    )
    longest: bool = Field(
        True, description="If more rows pass than are needed, keep the longest, not the first."
    )
    difficulty_mix: DifficultyMix | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        return _with_preset(given) if isinstance(given, Mapping) else given

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

    def is_on(self, key: str) -> bool:
        """Whether a threshold is set, or a rule switched on."""
        value = getattr(self, key)
        return value is not None and value is not False

    def needs(self) -> frozenset[str]:
        """Names of the judges whose labels it reads, as in `READS`."""
        return frozenset(
            judge for key, judges in READS.items() if self.is_on(key) for judge in judges
        )
