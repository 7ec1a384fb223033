"""The regenerate section of a recipe: what a tick adds, and when its rows are refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from magpie_hub.recipe.base import MOST, Line, Section
from magpie_hub.recipe.selection import Threshold

Share = Annotated[float, Field(ge=0, le=1)]
Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Drift(Section):
    """How much new rows may differ from the published rows; null switches a bound off.

    A difference that is significant and over its bound refuses the new rows; one that is
    significant and over half of its bound gives a warning. The keys from `min_yield` on are floors
    and ceilings of the new rows: they use no test and no published figure.
    """

    significance: float = Field(
        0.001,
        gt=0,
        lt=1,
        description="A difference is significant if its p-value is under this. P-values are "
        "corrected for the number of checks, so at most this share of good increments is refused "
        "by chance.",
    )
    passing: Share | None = Field(
        0.15, description="Change of the share of planned rows that pass, without repeated rows."
    )
    rejects: Share | None = Field(
        0.15, description="Change of a reject reason's share of planned rows."
    )
    duplicates: Share | None = Field(
        0.1,
        description="Rise of the share of planned rows that repeat an earlier one, beyond what the "
        "larger dataset explains.",
    )
    unsafe: Share | None = Field(0.05, description="Change of the share of unsafe rows.")
    judge_failures: Share | None = Field(
        0.05, description="Rise of the share of rows that a judge could not label."
    )
    cut_off: Share | None = Field(
        0.05, description="Rise of the share of responses that reached the token limit."
    )
    mix: Share | None = Field(
        0.2, description="Total variation distance between two mixes of labels."
    )
    lengths: Distance | None = Field(
        0.5,
        description="Change of the median or 95th percentile of a length in tokens: 0.5 allows a "
        "factor of up to 1.5, in both directions.",
    )
    rewards: Distance | None = Field(
        0.3, description="Change of a mean reward, in standard deviations of the published rows."
    )
    min_yield: Share | None = Field(
        None, description="Lowest share of planned rows that must be delivered."
    )
    max_duplicates: Share | None = Field(
        0.5, description="Highest share of planned rows that may repeat an earlier one."
    )
    max_unsafe: Share | None = Field(0.25, description="Highest share of unsafe rows.")
    min_reward: Threshold | None = Field(None, description="Lowest mean reward.")


class Regenerate(Section):
    """What a tick adds to a published dataset, and when its rows are refused."""

    grow: int = Field(1000, ge=1, le=MOST, description="Rows that a tick adds.")
    state: Line | None = Field(
        None,
        description="Folder or fsspec URL that keeps unfinished work if a runner is killed. This "
        "key is not published.",
    )
    checkpoint_seconds: int = Field(
        60, ge=1, le=MOST, description="Seconds between two saves to `state`."
    )
    drift: Drift = Drift()
