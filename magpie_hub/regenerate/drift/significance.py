"""Statistical tests: how likely a difference of two sets is by chance.

Each takes counts or summary figures of two sets that were drawn independently, and returns a
p-value: the chance of a difference at least as large if both come from one distribution. The
tests of shares are exact at any size; those of mixes and means are approximations.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nextafter
from operator import itemgetter
from typing import Any

EXPECTED = 5
"""Least expected count of a cell in a chi-square test.

W. G. Cochran, "Some methods for strengthening the common χ² tests", Biometrics 10 (1954), p. 420.
"""


@dataclass(frozen=True, slots=True)
class Proportion:
    """A number of rows, of all rows that were looked at."""

    count: int
    of: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.count / self.of

    @property
    def others(self) -> Proportion:
        """The other rows."""
        return Proportion(self.of - self.count, self.of)


def fisher_greater(new: Proportion, published: Proportion) -> float:
    """Whether a share has grown: Fisher's exact test, one-sided.

    Exact at any size, so no approximation has to take over where the counts are large.
    """
    from scipy.stats import hypergeom

    marked, rows = new.count + published.count, new.of + published.of
    return _p_value(hypergeom.sf(new.count - 1, rows, marked, new.of))


def fisher_two_sided(new: Proportion, published: Proportion) -> float:
    """Whether two shares differ: Fisher's exact test, twice the smaller tail."""
    tails = fisher_greater(new, published), fisher_greater(new.others, published.others)
    return min(1.0, 2 * min(tails))


def poisson_greater(new: int, published: int, exposure: float) -> float:
    """Whether something happens more often than before: the exact test of two Poisson rates.

    Of all times that it happened, those among the new rows are binomial with the new rows' share
    of the exposure (J. Przyborowski and H. Wilenski, Biometrika 31 (1940), pp. 313-323).

    Args:
        new: How often it happened among the new rows.
        published: How often it happened among the published ones.
        exposure: How many times as often it could happen among the new rows.
    """
    from scipy.stats import binom

    return _p_value(binom.sf(new - 1, new + published, exposure / (1 + exposure)))


def homogeneity(new: Sequence[int], published: Sequence[int]) -> float | None:
    """Whether two sets have the same mix: the chi-square test of homogeneity.

    The rarest cells are merged until every expected count is at least `EXPECTED`. That would merge
    a new label into a common one: of 20 new rows among 5,000 others, all in a language that was
    not there before, 0.1 are expected. So all cells that are expected too seldom are also compared
    with all others by Fisher's exact test, and twice the smaller p-value counts.

    Args:
        new: Rows by label.
        published: Rows by label, in the same order.

    Returns:
        The p-value; None where neither test can be made.
    """
    import numpy as np
    from scipy.stats import chi2_contingency

    totals = sum(new), sum(published)
    # By the totals alone, which the test takes as given: an order that looked at the new rows
    # would merge cells that are like each other, and make differences of them.
    cells = sorted(
        ((a + b, a, b) for a, b in zip(new, published, strict=True) if a + b), key=itemgetter(0)
    )
    smaller = min(totals) / sum(totals)
    rare = [cell for cell in cells if cell[0] * smaller < EXPECTED]
    found = []
    if rare and len(rare) < len(cells):
        sums = [sum(cell[n] for cell in rare) for n in (1, 2)]
        found.append(fisher_two_sided(*map(Proportion, sums, totals)))
    merged = _merge(cells, EXPECTED / smaller)
    if len(merged) == 1:
        return found[0] if found else (1.0 if len(cells) == 1 else None)
    if len(merged) == 2:
        # Fisher's test needs no expected counts, and is the more exact one where they are small.
        found.append(fisher_two_sided(*map(Proportion, merged[0][1:], totals)))
    else:
        table = np.array([cell[1:] for cell in merged]).T
        found.append(_p_value(chi2_contingency(table, correction=False).pvalue))
    return min(1.0, len(found) * min(found))


def _merge(cells: list[tuple[int, int, int]], least: float) -> list[tuple[int, int, int]]:
    """Merges the first cells, which are the rarest, until none is under the least."""
    left = list(cells)
    while len(left) > 1 and left[0][0] < least:
        first, second, *rest = left
        both = (first[0] + second[0], first[1] + second[1], first[2] + second[2])
        left = sorted([both, *rest], key=itemgetter(0))
    return left


def sign_test(new: Mapping[str, Any], published: Mapping[str, Any], percent: str) -> float:
    """Whether a percentile has moved: a sign test on two histograms.

    The histograms have different bins, so neither can be brought to the other's without inventing
    rows. A sign test needs one edge only. Where the new rows are longer, that is the upper edge of
    the published bin that holds the percentile: the number of published rows beyond it is known,
    and of the new rows only those are counted whose whole bin is beyond it. Where they are shorter
    it is the lower edge, likewise. The two shares are compared by Fisher's exact test, one-sided,
    twice, as either side might have been looked at. A difference within one bin is not seen.

    Args:
        new: `count`, `max`, `percentiles` and `histogram` of the new rows, as in `stats.json`.
        published: Those of the published rows.
        percent: Which percentile: "50", "95".
    """
    old, value = published["percentiles"][percent], new["percentiles"][percent]
    if value == old:
        return 1.0
    edges = published["histogram"]["edges"]
    bin_ = min(bisect_right(edges, old), len(edges) - 1) - 1
    if value > old:
        # The last bin holds its upper edge, so only what is over the maximum is beyond it.
        last = bin_ == len(edges) - 2
        edge = nextafter(published["max"], inf) if last else edges[bin_ + 1]
        beyond = [_surely_at_least(one, edge) for one in (new, published)]
    else:
        beyond = [_surely_under(one, edges[bin_]) for one in (new, published)]
    moved = fisher_greater(*map(Proportion, beyond, (new["count"], published["count"])))
    return min(1.0, 2 * moved)


def _surely_at_least(found: Mapping[str, Any], edge: float) -> int:
    """Rows in bins that begin at an edge or later."""
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
    return sum(count for low, count in zip(edges, counts, strict=False) if low >= edge)


def _surely_under(found: Mapping[str, Any], edge: float) -> int:
    """Rows in bins that end at an edge or earlier."""
    if found["max"] < edge:
        return int(found["count"])
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
    # Not the last bin, which holds its upper edge and, if it ended here, the maximum.
    return sum(count for high, count in zip(edges[1:], counts[:-1], strict=False) if high <= edge)


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one set's numbers: their mean, standard deviation (population) and count."""

    mean: float
    std: float
    count: int


def t_test(new: Summary, published: Summary) -> float | None:
    """Whether two means differ: Welch's and Student's t-test, from the summary figures.

    Where a few new numbers happen to be alike, or a tail is long, Welch's test finds differences
    that are not there; Student's, which takes most of its spread from the published numbers, does
    not. Both have to be sure, so the larger p-value counts.

    Returns:
        The p-value; None for a set of less than two numbers, or whose figures are not finite.
    """
    import numpy as np
    from scipy.stats import ttest_ind_from_stats

    figures = (new.mean, new.std, published.mean, published.std)
    if min(new.count, published.count) < 2 or not all(map(isfinite, figures)):
        return None
    if new.mean == published.mean:
        return 1.0
    if not new.std and not published.std:
        # Two constants: as sure as that all of one set's numbers differ from all of the other's.
        return fisher_two_sided(Proportion(new.count, new.count), Proportion(0, published.count))
    sets = [
        (one.mean, one.std * (one.count / (one.count - 1)) ** 0.5, one.count)
        for one in (new, published)
    ]
    with np.errstate(all="ignore"):
        tests = [
            ttest_ind_from_stats(*sets[0], *sets[1], equal_var=alike).pvalue
            for alike in (False, True)
        ]
    return max(map(_p_value, tests))


def holm(found: Sequence[float]) -> list[float]:
    """Corrects p-values for their number, so that together they are as sure as one alone.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979), pp. 65-70. It holds however the checks depend on each other.

    Returns:
        The corrected p-values, in the same order.
    """
    corrected, least = [0.0] * len(found), 0.0
    for rank, place in enumerate(sorted(range(len(found)), key=found.__getitem__)):
        least = max(least, min(1.0, (len(found) - rank) * found[place]))
        corrected[place] = least
    return corrected


def _p_value(p: float) -> float:
    """A p-value as a plain number; what could not be worked out is no evidence."""
    value = float(p)
    return min(1.0, max(0.0, value)) if isfinite(value) else 1.0
