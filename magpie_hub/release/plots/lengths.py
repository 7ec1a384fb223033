"""Lengths: tokens of instructions and responses, one row of panels a turn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from magpie_hub.generate.plan import turn_suffix
from magpie_hub.release.plots import style
from magpie_hub.release.plots.base import Drawing, Plot
from magpie_hub.release.plots.histograms import Histogram, fill, mark, percent_ticks, read, spread
from magpie_hub.release.plots.text import rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDES = (("instruction", style.BLUE), ("response", style.GREEN))

AXIS, GAP, FOOT, HEADING = 0.45, 0.55, 0.5, 0.38
"""Room left of a panel, between two, under the last and over each, in inches."""


def length_histograms(stats: Mapping[str, Any]) -> Drawing | None:
    """Tokens by turn, on an axis of doublings; as in Figure 7 of arXiv 2406.08464v2."""
    found = stats.get("lengths", {})
    turns = [
        [read(found.get(f"{side}_tokens{turn_suffix(turn)}"), log=True) for side, _ in SIDES]
        for turn in range(1, stats.get("turns", 0) + 1)
    ]
    if not any(histogram for turn in turns for histogram in turn):
        return None
    title = "Lengths" if len(turns) == 1 else "Lengths by turn"
    note = "share of rows by bin, tokens in doublings; dashed: median; brackets: 90% of rows"
    high = 1.7 if len(turns) == 1 else 1.0
    figure = style.sheet(title, note, FOOT + len(turns) * (high + HEADING) - 0.05)
    wide = (style.WIDTH - 2 * style.MARGIN - AXIS - GAP) / 2
    for place, (side, color) in enumerate(SIDES):
        left = style.MARGIN + AXIS + place * (wide + GAP)
        _column(figure, side, color, [turn[place] for turn in turns], left, wide, high)
    return Plot("lengths.png", title, _alt(turns)), figure


def _column(
    figure: Figure,
    side: str,
    color: str,
    turns: Sequence[Histogram | None],
    left: float,
    wide: float,
    high: float,
) -> None:
    """One side's panels, the first turn on top, all on one scale."""
    there = [one for one in turns if one]
    if not there:
        return
    low, end = min(one.edges[0] for one in there), max(one.edges[-1] for one in there)
    margin, right = 0.02 * (end - low), left + wide
    unit = there[0].bin
    top = max(max(one.heights(unit)) for one in there)
    for place, histogram in enumerate(turns):
        bottom = FOOT + (len(turns) - 1 - place) * (high + HEADING)
        axes = style.panel(figure, left, bottom, wide, high)
        axes.set_xlim(low - margin, end + margin)
        percent_ticks(axes, top, 4 if len(turns) == 1 else 3)
        name = side if len(turns) == 1 else f"{side} {place + 1}"
        style.place(figure, left, bottom + high + 0.1, name, bold=True)
        if place == len(turns) - 1:
            at = doublings(low, end)
            style.ticks(axes, "x", [math.log2(value) for value in at], [f"{n:,}" for n in at])
            style.place(figure, right, 0.12, "tokens", ha="right", **style.QUIET)
        if histogram is None:
            continue
        fill(axes, histogram, unit, color)
        if histogram.median:
            mark(axes, math.log2(histogram.median), dashed=True)
        said = spread(histogram, whole=True)
        style.place(figure, right, bottom + high + 0.1, said, ha="right", **style.QUIET)


def doublings(low: float, high: float) -> list[int]:
    """Numbers of tokens that label an axis from 2^low to 2^high: powers of two, if they suffice."""
    powers = range(max(0, math.ceil(low - 1e-9)), math.floor(high + 1e-9) + 1)
    if len(powers) >= 3:
        return [2**power for power in powers[:: -(-len(powers) // 7)]]
    steps = style.steps(2**low, 2**high, 4)
    return [int(value) for value in steps if value >= 1 and float(value).is_integer()]


def _alt(turns: Sequence[Sequence[Histogram | None]]) -> str:
    found = [
        (side if len(turns) == 1 else f"{side} {number}", histogram)
        for number, turn in enumerate(turns, start=1)
        for (side, _), histogram in zip(SIDES, turn, strict=True)
        if histogram
    ]
    of = rows(max(histogram.count for _, histogram in found))
    said = [f"{name}: {spread(one, whole=True)}" for name, one in found]
    return f"Histograms of tokens of {of}, in brackets the range of 90% of them. {'; '.join(said)}."
