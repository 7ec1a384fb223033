"""Histograms: bins as `stats.json` has them, made readable.

Few rows in many bins are a comb, so neighbouring bins are joined until there are about as many as
Rice's rule allows. Heights are densities along the axis as drawn, so bins of unequal width, and
two histograms in one panel, compare.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from magpie_hub.release.plots import style
from magpie_hub.release.plots.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORDY = "median {}, 90% of rows within {} to {}"
"""The form of `spread` for those who do not see the picture."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """A distribution of `stats.json`, ready to be drawn.

    Attributes:
        edges: Of the bins, rising, along the axis as drawn.
        shares: Of all rows that have the number, by bin.
        median: In the numbers' own unit; None if it was not counted.
        low: Its 5th percentile, as the median.
        high: Its 95th percentile, as the median.
        count: Rows that have the number.
        missing: Rows that have not.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    median: float | None
    low: float | None
    high: float | None
    count: int
    missing: int

    @property
    def bin(self) -> float:
        """Width of a typical bin."""
        return statistics.median(b - a for a, b in pairwise(self.edges))

    def heights(self, unit: float) -> list[float]:
        """Shares of rows per `unit` of the axis, by bin."""
        bins = zip(self.shares, pairwise(self.edges), strict=True)
        return [unit * part / (right - left) for part, (left, right) in bins]


def read(distribution: Mapping[str, Any] | None, *, log: bool = False) -> Histogram | None:
    """Reads a distribution of `stats.json`.

    Args:
        distribution: None where there is none.
        log: Whether the axis is in doublings; numbers are then counts, from 0.

    Returns:
        The histogram, or None if no row has the number or all have the same.
    """
    if not distribution or distribution["min"] == distribution["max"]:
        return None
    edges = [float(edge) for edge in distribution["histogram"]["edges"]]
    counts = list(distribution["histogram"]["counts"])
    total = sum(counts)
    if not total or edges[0] >= edges[-1]:
        return None
    if log:
        # Zero has no place on such an axis; it gets the doubling under the next edge.
        edges = [math.log2(edge or edges[1] / 2) for edge in edges]
    edges, counts = _join(edges, counts, math.ceil(2 * total ** (1 / 3)))
    percentiles = distribution["percentiles"]
    return Histogram(
        tuple(edges),
        tuple(number / total for number in counts),
        percentiles.get("50"),
        percentiles.get("5"),
        percentiles.get("95"),
        distribution["count"],
        distribution["missing"],
    )


def _join(
    edges: Sequence[float], counts: Sequence[int], most: int
) -> tuple[list[float], list[int]]:
    """Joins neighbouring bins into at most so many, of about equal width."""
    first, last = edges[0], edges[-1]
    # A bin that rounding left much narrower than the others would be a needle.
    sliver = 0.1 * (last - first) / len(counts)
    kept = [0]
    for place, edge in enumerate(edges):
        if edge - edges[kept[-1]] > sliver and last - edge > sliver:
            kept.append(place)
    kept.append(len(counts))
    if len(kept) - 1 > most:
        even = [bins for bins in range(most // 2, most + 1) if (len(kept) - 1) % bins == 0]
        bins = even[-1] if even else most
        marks = (first + number * (last - first) / bins for number in range(bins + 1))
        kept = sorted({min(kept, key=lambda n: abs(edges[n] - mark)) for mark in marks})
    joined = [sum(counts[left:right]) for left, right in pairwise(kept)]
    return [edges[place] for place in kept], joined


def fill(
    axes: Axes, histogram: Histogram, unit: float, color: str, *, below: str | None = None
) -> None:
    """Draws a histogram as an area.

    Args:
        axes: Where.
        histogram: What.
        unit: Of `Histogram.heights`.
        color: Its colour.
        below: Colour of what is below zero, if another one.
    """
    heights, edges = histogram.heights(unit), histogram.edges
    parts = [(heights, edges, color)]
    if below is not None and edges[0] < 0:
        # The bin that zero lies in is cut there; both parts have its density.
        place = bisect_left(edges, 0.0)
        parts = [(heights, edges, below)]
        if place < len(edges):
            parts = [
                (heights[:place], (*edges[:place], 0.0), below),
                (heights[place - 1 :], (0.0, *edges[place:]), color),
            ]
    for high, ends, one in parts:
        axes.stairs(high, ends, fill=True, facecolor=one, **style.FLAT)


def spread(histogram: Histogram, *, form: str = "median {} ({} to {})", whole: bool = False) -> str:
    """The median and what nine rows in ten lie within, in words; empty if not counted."""
    found = [n for n in (histogram.median, histogram.low, histogram.high) if n is not None]
    return form.format(*(short(number, whole=whole) for number in found)) if len(found) == 3 else ""


def mark(axes: Axes, x: float, *, dashed: bool = False) -> None:
    """Draws a thin upright line; a dashed one is a median."""
    dashes = (0, (4, 2)) if dashed else "-"
    axes.axvline(
        x,
        color=style.INK,
        linewidth=1,
        linestyle=dashes,
        dash_capstyle="butt",
        solid_capstyle="butt",
        antialiased=True,
    )


def percent_ticks(axes: Axes, top: float, most: int = 4) -> None:
    """Labels the y axis of shares, with thin lines across."""
    axes.set_ylim(0, top * 1.04)
    at = style.steps(0, top * 1.04, most)
    style.ticks(axes, "y", at, [f"{short(100 * tick)}%" for tick in at], grid=True)
