"""A distribution of `stats.json` made readable: its bins joined, its spread in words.

Few rows in many bins are a comb, so neighbouring bins are joined until there are about as many as
Rice's rule allows. Heights are densities along the axis as drawn, so bins of unequal width, and
two histograms in one panel, compare.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from magpie_hub.release.plots.text import short


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

    def spread(self, form: str = "median {} ({} to {})", *, whole: bool = False) -> str:
        """The median and what nine rows in ten lie within, in words; "" if not counted."""
        found = [n for n in (self.median, self.low, self.high) if n is not None]
        said = [short(number, whole=whole) for number in found]
        return form.format(*said) if len(said) == 3 else ""


def read_histogram(
    distribution: Mapping[str, Any] | None, *, log: bool = False
) -> Histogram | None:
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
    """Joins neighbouring bins into at most `most`, of about equal width."""
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
