"""How likely a difference is by chance: the statistical tests behind the gates.

Each takes counts or summary figures of two sets that were drawn independently, and returns a
p-value: the chance of a difference at least as large if both come from one distribution. The
tests of shares are exact at any size; those of mixes and means are approximations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from operator import itemgetter

EXPECTED = 5
"""Least expected count of a cell in a chi-square test.

W. G. Cochran, "Some methods for strengthening the common χ² tests", Biometrics 10 (1954), p. 420.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """So many rows, of so many that were looked at."""

    count: int
    of: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.count / self.of


def larger(new: Part, published: Part) -> float:
    """Whether a share has grown: Fisher's exact test, one-sided.

    Exact at any size, so no approximation has to take over where the counts are large.
    """
    from scipy.stats import hypergeom

    marked, rows = new.count + published.count, new.of + published.of
    return _chance(hypergeom.sf(new.count - 1, rows, marked, new.of))


def apart(new: Part, published: Part) -> float:
    """Whether two shares differ: Fisher's exact test, twice the smaller tail."""
    others = Part(new.of - new.count, new.of), Part(published.of - published.count, published.of)
    return min(1.0, 2 * min(larger(new, published), larger(*others)))


def more_often(new: int, published: int, exposure: float) -> float:
    """Whether something happens more often than before: the exact test of two Poisson rates.

    Of all times that it happened, those among the new rows are binomial with the new rows' share
    of the exposure (J. Przyborowski and H. Wilenski, Biometrika 31 (1940), pp. 313-323).

    Args:
        new: How often it happened among the new rows.
        published: How often it happened among the published ones.
        exposure: How many times as often it could happen among the new rows.
    """
    from scipy.stats import binom

    return _chance(binom.sf(new - 1, new + published, exposure / (1 + exposure)))


def mixed(new: Sequence[int], published: Sequence[int]) -> float | None:
    """Whether two sets are mixed alike: the chi-square test of homogeneity.

    The rarest cells are merged until every expected count is at least `EXPECTED`. That would merge
    what is new into what is common: of 20 new rows among 5,000 others, all in a language that was
    not there before, 0.1 are expected. So all cells that are expected too seldom are held against
    all others by Fisher's exact test as well, and the smaller p-value counts, twice.

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
    # would merge what is like each other, and make differences of it.
    cells = sorted(
        ((a + b, a, b) for a, b in zip(new, published, strict=True) if a + b), key=itemgetter(0)
    )
    smaller = min(totals) / sum(totals)
    rare = [cell for cell in cells if cell[0] * smaller < EXPECTED]
    found = []
    if rare and len(rare) < len(cells):
        sums = [sum(cell[n] for cell in rare) for n in (1, 2)]
        found.append(apart(*map(Part, sums, totals)))
    merged = _merge(cells, EXPECTED / smaller)
    if len(merged) == 1:
        return found[0] if found else (1.0 if len(cells) == 1 else None)
    if len(merged) == 2:
        # Fisher's test needs no expected counts, and at small ones it is the one to believe.
        found.append(apart(*map(Part, merged[0][1:], totals)))
    else:
        table = np.array([cell[1:] for cell in merged]).T
        found.append(_chance(chi2_contingency(table, correction=False).pvalue))
    return min(1.0, len(found) * min(found))


def _merge(cells: list[tuple[int, int, int]], least: float) -> list[tuple[int, int, int]]:
    """Merges the first cells, which are the rarest, until none is under the least."""
    left = list(cells)
    while len(left) > 1 and left[0][0] < least:
        first, second, *rest = left
        both = (first[0] + second[0], first[1] + second[1], first[2] + second[2])
        left = sorted([both, *rest], key=itemgetter(0))
    return left


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one set's numbers: their mean, standard deviation (population) and count."""

    mean: float
    std: float
    count: int


def means(new: Summary, published: Summary) -> float | None:
    """Whether two means differ: Welch's t-test, from the summary figures.

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
        return apart(Part(new.count, new.count), Part(0, published.count))
    sets = [
        (one.mean, one.std * (one.count / (one.count - 1)) ** 0.5, one.count)
        for one in (new, published)
    ]
    with np.errstate(all="ignore"):
        tests = [
            ttest_ind_from_stats(*sets[0], *sets[1], equal_var=alike).pvalue
            for alike in (False, True)
        ]
    return max(map(_chance, tests))


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


def _chance(p: float) -> float:
    """A p-value as a plain number; what could not be worked out is no evidence."""
    value = float(p)
    return min(1.0, max(0.0, value)) if isfinite(value) else 1.0
