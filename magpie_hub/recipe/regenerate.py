"""The regenerate section of a recipe: what a tick of a schedule adds, and when it is refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from magpie_hub.recipe.base import MOST, Line, Section
from magpie_hub.recipe.selection import Threshold

Share = Annotated[float, Field(ge=0, le=1)]
Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Drift(Section):
    """How far new rows may be from what is published; null switches a bound off.

    A difference refuses the new rows when it is over its bound and sure, and warns when it is
    sure and over half of its bound. The keys from `min_yield` on are floors and ceilings: they
    look at the new rows alone, whatever is published, without a test.
    """

    significance: float = Field(
        0.001,
        gt=0,
        lt=1,
        description="A difference is sure when its p-value is under this; p-values are corrected "
        "for the number of checks, so at most this share of good increments is refused by chance.",
    )
    passing: Share | None = Field(
        0.15, description="Change of the share of planned rows that pass, repeats aside."
    )
    rejects: Share | None = Field(
        0.15, description="Change of a reject reason's share of planned rows."
    )
    duplicates: Share | None = Field(
        0.1,
        description="Rise of the share of planned rows that repeat an earlier one, beyond what "
        "more rows bring by themselves.",
    )
    unsafe: Share | None = Field(0.05, description="Change of the share of unsafe rows.")
    judge_failures: Share | None = Field(
        0.05, description="Rise of the share of rows that a judge could not label."
    )
    cut_off: Share | None = Field(
        0.05, description="Rise of the share of responses that ran into the token limit."
    )
    mix: Share | None = Field(
        0.2, description="Total variation distance between two mixes of labels."
    )
    lengths: Distance | None = Field(
        0.5,
        description="Change of the median or 95th percentile of a length in tokens: 0.5 allows up "
        "to 1.5 times as long, or as short.",
    )
    rewards: Distance | None = Field(
        0.3, description="Change of a mean reward, in standard deviations of the published rows."
    )
    min_yield: Share | None = Field(None, description="Least share of planned rows delivered.")
    max_duplicates: Share | None = Field(
        0.5, description="Largest share of planned rows that repeat an earlier one."
    )
    max_unsafe: Share | None = Field(0.25, description="Largest share of unsafe rows.")
    min_reward: Threshold | None = Field(None, description="Least mean reward.")


class Regenerate(Section):
    """What a tick of a schedule adds to a published dataset, and when it is refused."""

    grow: int = Field(1000, ge=1, le=MOST, description="Rows that a tick adds.")
    state: Line | None = Field(
        None,
        description="Where what must survive a runner's death is kept: a folder or any fsspec URL. "
        "It is not published.",
    )
    checkpoint_seconds: int = Field(
        60, ge=1, le=MOST, description="Seconds between two saves of it."
    )
    drift: Drift = Drift()
