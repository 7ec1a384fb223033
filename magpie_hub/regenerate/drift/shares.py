"""Shares: of planned rows, those that pass and those rejected for each cause; of delivered rows,
those that are unsafe, could not be judged, or were cut off.

Test: Fisher's exact test. Size: the difference of the two shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.check import SHARE, Check, Side
from magpie_hub.regenerate.drift.counts import Flow, flow
from magpie_hub.regenerate.drift.mixes import label_names
from magpie_hub.regenerate.drift.significance import Part, apart, larger

CUT_OFF = "finish_reason"


def shares(
    published: Mapping[str, Any], increment: Mapping[str, Any], bounds: Drift
) -> Iterator[Check]:
    """Compares all shares that both sets have."""
    yield from _planned(flow(published), flow(increment), bounds)
    yield from _unsafe(published, increment, bounds.unsafe)
    yield from _failures(published, increment, bounds.judge_failures)
    yield from _cut_off(published, increment, bounds.cut_off)


def _planned(published: Flow, new: Flow, bounds: Drift) -> Iterator[Check]:
    yield from _check(
        "yield",
        "planned rows that pass, repeats aside",
        Part(new.passed, new.planned - new.repeats),
        Part(published.passed, published.planned - published.repeats),
        bounds.passing,
    )
    for reason in sorted({*published.causes, *new.causes}):
        says = published.says.get(reason) or new.says.get(reason)
        what = f"planned rows rejected as {reason}" + (f" ({says})" if says else "")
        yield from _check(
            f"reject.{reason}", what, new.part(reason), published.part(reason), bounds.rejects
        )


def _unsafe(
    published: Mapping[str, Any], increment: Mapping[str, Any], bound: float | None
) -> Iterator[Check]:
    sets = unsafe(increment), unsafe(published)
    yield from _check("unsafe", "rows that the guard calls unsafe", *sets, bound)


def unsafe(stats: Mapping[str, Any]) -> Part:
    """The unsafe rows, of those that the guard judged."""
    counts = stats.get("labels", {}).get("safe", {}).get("counts", {})
    return Part(counts.get("unsafe", 0), sum(counts.values()))


def _failures(
    published: Mapping[str, Any], increment: Mapping[str, Any], bound: float | None
) -> Iterator[Check]:
    # A row counts once for each judge, so judges cannot be added up.
    for judge in sorted({*published.get("failures", {}), *increment.get("failures", {})}):
        sets = [
            Part(sum(stats.get("failures", {}).get(judge, {}).values()), stats.get("rows", 0))
            for stats in (increment, published)
        ]
        what = f"rows that the judge {judge} could not label"
        yield from _check(f"judge.{judge}", what, sets[0], sets[1], bound, "rise")


def _cut_off(
    published: Mapping[str, Any], increment: Mapping[str, Any], bound: float | None
) -> Iterator[Check]:
    for name in label_names(published, increment):
        if not name.startswith(CUT_OFF):
            continue
        sets = []
        for stats in (increment, published):
            counts = stats["labels"][name]["counts"]
            sets.append(Part(counts.get("length", 0), sum(counts.values())))
        what = f"responses that ran into the token limit ({name})"
        end = name.removeprefix(CUT_OFF)
        yield from _check(f"cut_off{end}", what, sets[0], sets[1], bound, "rise")


def _check(
    name: str, what: str, new: Part, published: Part, bound: float | None, side: Side = "apart"
) -> Iterator[Check]:
    if bound is None or not new.of or not published.of:
        return
    difference = new.share - published.share
    size, test = (difference, larger) if side == "rise" else (abs(difference), apart)
    p = test(new, published)
    yield Check(name, what, SHARE, side, published.share, new.share, size, bound, p)
