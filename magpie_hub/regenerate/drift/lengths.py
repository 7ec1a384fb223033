"""Lengths: tokens of the instruction and the response of every turn, at the median and the 95th
percentile.

Size: how many times as long or as short the percentile has become, less one.

Test: the two histograms have different bins, so neither can be brought to the other's without
inventing rows. A sign test needs only one edge. Where the new rows are longer, that is the upper
edge of the published bin that holds the percentile: how many published rows reach it is known
exactly, and of the new rows only those are counted that surely do, since their whole bin does.
Where they are shorter it is the lower edge, likewise. The two shares are compared by Fisher's
exact test, one-sided, twice, as either side might have been looked at. The error goes one way: a
difference that lies within one bin is not seen.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from math import inf, nextafter
from typing import Any

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.check import LENGTH, Check
from magpie_hub.regenerate.drift.significance import Part, larger

PERCENTILES: Mapping[str, str] = {"50": "median", "95": "95th percentile"}

_TOKENS = re.compile(r"(instruction|response)_tokens(_\d+)?")


def lengths(
    published: Mapping[str, Any], increment: Mapping[str, Any], bounds: Drift
) -> Iterator[Check]:
    """Compares all lengths that both sets have."""
    if bounds.lengths is None:
        return
    both = published.get("lengths", {}).keys() & increment.get("lengths", {}).keys()
    for name in sorted(filter(_TOKENS.fullmatch, both)):
        old, new = published["lengths"][name], increment["lengths"][name]
        if not old["count"] or not new["count"]:
            continue
        for percent, words in PERCENTILES.items():
            before, now = old["percentiles"][percent], new["percentiles"][percent]
            # An empty text is as good as one token: what is twice nothing?
            low, high = sorted((max(1.0, before), max(1.0, now)))
            yield Check(
                f"length.{name}.p{percent}",
                f"{words} of {name}",
                LENGTH,
                "apart",
                before,
                now,
                high / low - 1,
                bounds.lengths,
                _sign(new, old, percent),
            )


def _sign(new: Mapping[str, Any], published: Mapping[str, Any], percent: str) -> float:
    """How likely so many new rows are beyond a published percentile by chance."""
    old, value = published["percentiles"][percent], new["percentiles"][percent]
    if value == old:
        return 1.0
    edges = published["histogram"]["edges"]
    place = min(bisect_right(edges, old), len(edges) - 1) - 1
    if value > old:
        # The last bin holds its upper edge, so only what is over the maximum is beyond it.
        last = place == len(edges) - 2
        edge = nextafter(published["max"], inf) if last else edges[place + 1]
        beyond = [_reach(one, edge) for one in (new, published)]
    else:
        beyond = [_under(one, edges[place]) for one in (new, published)]
    return min(1.0, 2 * larger(*map(Part, beyond, (new["count"], published["count"]))))


def _reach(found: Mapping[str, Any], edge: float) -> int:
    """Rows that are surely as long as an edge: those in bins that begin there or later."""
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
    return sum(count for low, count in zip(edges, counts, strict=False) if low >= edge)


def _under(found: Mapping[str, Any], edge: float) -> int:
    """Rows that are surely shorter than an edge: those in bins that end there or earlier."""
    if found["max"] < edge:
        return int(found["count"])
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
    # Not the last bin, which holds its upper edge and, if it ended here, the maximum.
    return sum(count for high, count in zip(edges[1:], counts[:-1], strict=False) if high <= edge)
