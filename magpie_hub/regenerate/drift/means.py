"""Means: the reward, and how far it is above the base model's.

Test: Welch's t, `significance.means`. Size: the difference in standard deviations of the published
rows (Cohen's d with one set's spread, Glass's Δ).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import inf, isfinite
from typing import Any

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.check import MEAN, Check
from magpie_hub.regenerate.drift.significance import Summary
from magpie_hub.regenerate.drift.significance import means as test

NAMES = ("instruct_reward", "reward_difference")

ROUNDING = 1e-5
"""Relative difference that two figures of six significant digits may have by rounding alone."""


def means(
    published: Mapping[str, Any], increment: Mapping[str, Any], bounds: Drift
) -> Iterator[Check]:
    """Compares all means that both sets have."""
    if bounds.rewards is None:
        return
    for name in NAMES:
        old, new = summary(published, name), summary(increment, name)
        if old is None or new is None:
            continue
        rounded = ROUNDING * max(abs(old.mean), abs(new.mean))
        if abs(new.mean - old.mean) <= rounded:
            # What rounding can have done is no difference.
            new = replace(new, mean=old.mean)
        difference = abs(new.mean - old.mean)
        size = difference / old.std if old.std else (inf if difference else 0.0)
        yield Check(
            f"mean.{name}",
            f"mean of {name}",
            MEAN,
            "apart",
            old.mean,
            new.mean,
            size,
            bounds.rewards,
            test(new, old),
        )


def summary(stats: Mapping[str, Any], name: str) -> Summary | None:
    """The figures of a column of numbers; None if it has none, or none that are finite."""
    found = stats.get("numbers", {}).get(name)
    if not found or not found["count"]:
        return None
    if not isfinite(found["mean"]) or not isfinite(found["std"]):
        return None
    return Summary(found["mean"], found["std"], found["count"])
