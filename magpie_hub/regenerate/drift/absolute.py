"""Floors and ceilings: what the new rows must be by themselves, whatever is published.

A recipe that asks for a number gets that number: there is no test, and no warning before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.check import MEAN, ROWS, SHARE, Check, Unit
from magpie_hub.regenerate.drift.counts import flow
from magpie_hub.regenerate.drift.means import summary
from magpie_hub.regenerate.drift.shares import unsafe


def floors(increment: Mapping[str, Any], bounds: Drift) -> Iterator[Check]:
    """Holds the new rows against all floors and ceilings that the recipe sets."""
    funnel = flow(increment)
    rows = increment.get("rows", funnel.delivered)
    yield from _check("rows", "rows", ROWS, rows, "at least", 1)
    if funnel.planned:
        share = funnel.delivered / funnel.planned
        yield from _check(
            "yield", "planned rows delivered", SHARE, share, "at least", bounds.min_yield
        )
        yield from _check(
            "duplicates",
            "planned rows that repeat an earlier one",
            SHARE,
            funnel.repeats / funnel.planned,
            "at most",
            bounds.max_duplicates,
        )
    if (guarded := unsafe(increment)).of:
        what = "rows that the guard calls unsafe"
        yield from _check("unsafe", what, SHARE, guarded.share, "at most", bounds.max_unsafe)
    if reward := summary(increment, "instruct_reward"):
        what = "mean of instruct_reward"
        yield from _check("reward", what, MEAN, reward.mean, "at least", bounds.min_reward)


def _check(
    name: str,
    what: str,
    unit: Unit,
    new: float,
    side: Literal["at least", "at most"],
    bound: float | None,
) -> Iterator[Check]:
    if bound is None:
        return
    short = bound - new if side == "at least" else new - bound
    state: Literal["ok", "failed"] = "failed" if short > 0 else "ok"
    yield Check(f"floor.{name}", what, unit, side, None, new, max(0.0, short), bound, state=state)
