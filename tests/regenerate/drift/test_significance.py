"""The tests behind the gates, against the textbook and against counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from magpie_hub.regenerate.drift.significance import (
    Proportion,
    Summary,
    fisher_greater,
    fisher_two_sided,
    holm,
    homogeneity,
    poisson_greater,
    t_test,
)

parts = st.integers(1, 40).flatmap(lambda of: st.integers(0, of).map(lambda n: Proportion(n, of)))


@given(parts, parts)
def test_a_larger_share_is_as_likely_as_the_ways_to_deal_it(
    new: Proportion, published: Proportion
) -> None:
    marked, rows = new.count + published.count, new.of + published.of
    ways = sum(
        math.comb(marked, n) * math.comb(rows - marked, new.of - n)
        for n in range(new.count, min(marked, new.of) + 1)
    )
    assert fisher_greater(new, published) == pytest.approx(ways / math.comb(rows, new.of), rel=1e-6)


@given(parts, parts)
def test_two_shares_differ_alike_whichever_is_named_and_which_side(
    one: Proportion, other: Proportion
) -> None:
    rest = Proportion(one.of - one.count, one.of), Proportion(other.of - other.count, other.of)
    assert fisher_two_sided(one, other) == pytest.approx(fisher_two_sided(other, one), rel=1e-6)
    assert fisher_two_sided(one, other) == pytest.approx(fisher_two_sided(*rest), rel=1e-6)
    assert fisher_two_sided(one, one) == 1.0


def test_millions_of_rows_are_counted_as_exactly_as_few() -> None:
    new, published = Proportion(301_500, 1_000_000), Proportion(3_000_000, 10_000_000)
    pooled = (new.count + published.count) / (new.of + published.of)
    z = (new.share - published.share) / math.sqrt(
        pooled * (1 - pooled) * (1 / new.of + 1 / published.of)
    )
    assert fisher_greater(new, published) == pytest.approx(stats.norm.sf(z), rel=0.02)
    assert fisher_two_sided(Proportion(0, 1_000_000), Proportion(10_000_000, 10_000_000)) == 0.0


def test_a_mix_of_common_labels_gets_the_textbooks_chi_square() -> None:
    new, published = [30, 50, 20], [250, 550, 200]
    assert homogeneity(new, published) == pytest.approx(
        stats.chi2_contingency([new, published]).pvalue
    )


def test_two_labels_are_two_shares() -> None:
    assert homogeneity([9, 31], [100, 300]) == fisher_two_sided(
        Proportion(9, 40), Proportion(100, 400)
    )


def test_a_label_that_was_not_there_before_is_seen_though_it_is_expected_too_seldom() -> None:
    found = homogeneity([0, 0, 20], [4800, 200, 0])
    assert found is not None
    assert found < 1e-20


@pytest.mark.parametrize("rows", [20, 100, 1000])
def test_many_rare_labels_alarm_no_more_often_than_they_may(rows: int) -> None:
    rng = np.random.default_rng(rows)
    shares = np.array([0.5, *[0.5 / 60] * 60])
    found = [
        homogeneity(rng.multinomial(rows, shares).tolist(), rng.multinomial(9000, shares).tolist())
        for _ in range(600)
    ]
    assert sum(p is not None and p < 0.01 for p in found) <= 12  # 6 expected; more in 1 of 100
    assert sum(p is not None and p < 0.2 for p in found) > 6


@pytest.mark.parametrize(
    ("new", "published", "p"),
    [([5], [50], 1.0), ([5, 0], [50, 0], 1.0), ([1, 1], [1, 1], None), ([1, 0], [999, 1], None)],
)
def test_what_too_few_rows_say(new: list[int], published: list[int], p: float | None) -> None:
    found = homogeneity(new, published)
    assert found is None or found == pytest.approx(p, rel=0.01)
    assert (found is None) is (p is None)


def summary(numbers: np.ndarray) -> Summary:
    return Summary(float(numbers.mean()), float(numbers.std()), len(numbers))


def test_means_are_compared_from_their_figures_as_from_the_numbers() -> None:
    rng = np.random.default_rng(3)
    new, published = rng.normal(0.3, 2, 80), rng.normal(0, 1, 900)
    found = t_test(summary(new), summary(published))
    assert found == pytest.approx(stats.ttest_ind(new, published, equal_var=False).pvalue, rel=1e-6)


def test_a_few_numbers_that_happen_to_be_alike_are_no_proof() -> None:
    published = Summary(0.0, 1.0, 1_000_000)
    assert (t_test(Summary(-0.5, 0.001, 3), published) or 0) > 0.3
    assert (t_test(Summary(-0.5, 0.0, 3), published) or 0) > 0.3


def test_constants() -> None:
    one = Summary(1.0, 0.0, 30)
    assert t_test(one, Summary(1.0, 0.0, 50)) == 1.0
    assert (t_test(Summary(2.0, 0.0, 30), one) or 1) < 1e-10
    assert (t_test(Summary(2.0, 0.0, 2), Summary(1.0, 0.0, 2)) or 0) > 0.1


@given(
    *[st.tuples(st.floats(), st.floats(min_value=0), st.integers(0, 10**9)) for _ in range(2)],
)
def test_means_of_anything(one: tuple[float, float, int], other: tuple[float, float, int]) -> None:
    found = t_test(Summary(*one), Summary(*other))
    assert found is None or 0 <= found <= 1


def test_more_often_counts_by_exposure() -> None:
    assert poisson_greater(30, 10, exposure=3) > 0.3
    assert poisson_greater(30, 10, exposure=0.5) < 1e-5
    assert poisson_greater(0, 0, exposure=2) == 1.0
    assert poisson_greater(3, 0, exposure=1) == pytest.approx(1 / 8)


def test_holms_correction_is_his() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1)))
def test_corrected_values_keep_their_order_between_one_and_all(found: list[float]) -> None:
    corrected = holm(found)
    for p, q in zip(found, corrected, strict=True):
        assert p <= q <= min(1.0, len(found) * p) or q == 1.0
    pairs = sorted(zip(found, corrected, strict=True))
    assert [q for _, q in pairs] == sorted(corrected)
