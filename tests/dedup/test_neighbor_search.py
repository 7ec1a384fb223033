"""Near-duplicates: the published meaning, and an outcome that only the rows decide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from magpie_hub.dedup import search
from magpie_hub.dedup.search import THRESHOLD, Earlier, NearDuplicates, find_near_duplicates

Vectors = NDArray[np.float32]


def on_circle(*squared_distances: float) -> Vectors:
    """Unit vectors in a plane, each at a squared distance from the one before."""
    angles = np.cumsum([2 * np.arcsin(np.sqrt(d) / 2) for d in (0.0, *squared_distances)])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def clustered(seed: int, rows: int, dim: int = 24) -> Vectors:
    """Vectors in clusters of very different width, some of them equal."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((max(1, rows // 12), dim))
    width = draw.choice([0.02, 0.06, 0.3], (rows, 1))
    vectors = centres[draw.integers(0, len(centres), rows)]
    vectors = vectors + width * draw.standard_normal((rows, dim))
    vectors[draw.random(rows) < 0.1] = vectors[0]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def naive(row_ids: NDArray[np.int64], vectors: Vectors, threshold: float) -> dict[str, Any]:
    """The definition, pair by pair."""
    wide = vectors.astype(np.float64)
    apart = np.stack([((wide - one) ** 2).sum(axis=1) for one in wide])
    np.fill_diagonal(apart, np.inf)
    leaders = []
    for row, distances in zip(row_ids, apart, strict=True):
        near = row_ids[distances < threshold]
        leaders.append(min(row, near.min()) if len(near) else -1)
    return {
        "min_neighbor_distance": apart.min(axis=1),
        "repeat_count": (apart < threshold).sum(axis=1),
        "leader": np.array(leaders),
    }


def same(one: NearDuplicates, other: NearDuplicates, order: Any = slice(None)) -> bool:
    """Whether two outcomes are equal to the bit, the second in another order."""
    return (
        one.row_ids[order].tobytes() == other.row_ids.tobytes()
        and one.min_neighbor_distance[order].tobytes() == other.min_neighbor_distance.tobytes()
        and one.repeat_count[order].tobytes() == other.repeat_count.tobytes()
        and one.leader[order].tobytes() == other.leader.tobytes()
        and one.published[order].tolist() == other.published.tolist()
    )


# ---- the published meaning


def test_an_exact_duplicate_is_at_distance_zero_and_the_lowest_row_leads() -> None:
    vectors = np.eye(3, dtype=np.float32)[[0, 1, 0, 2, 0]]
    found = find_near_duplicates([30, 1, 10, 2, 20], vectors)
    assert found.min_neighbor_distance.tolist() == [0, 2, 0, 2, 0]
    assert found.repeat_count.tolist() == [2, 0, 2, 0, 2]
    assert found.leader.tolist() == [10, -1, 10, -1, 10]
    assert found.keep.tolist() == [False, True, True, True, False]


def test_the_threshold_is_a_squared_distance_of_unit_vectors() -> None:
    inside, outside = on_circle(0.0499), on_circle(0.0501)
    assert find_near_duplicates([0, 1], inside).repeat_count.tolist() == [1, 1]
    assert find_near_duplicates([0, 1], outside).repeat_count.tolist() == [0, 0]
    assert find_near_duplicates([0, 1], outside).min_neighbor_distance == pytest.approx(
        [0.0501] * 2
    )
    assert inside[0] @ inside[1] > 0.975 > outside[0] @ outside[1]


def test_a_leader_is_a_direct_neighbour_not_the_head_of_a_chain() -> None:
    found = find_near_duplicates([5, 6, 7], on_circle(0.04, 0.04))
    assert found.repeat_count.tolist() == [1, 2, 1]
    assert found.leader.tolist() == [5, 5, 6]
    assert found.keep.tolist() == [True, False, False]


def test_repeats_are_counted_beyond_any_limit() -> None:
    vectors = np.repeat(on_circle(0.01), 1500, axis=0)
    found = find_near_duplicates(np.arange(3000), vectors)
    assert set(found.repeat_count) == {2999}
    assert set(found.leader) == {0}
    assert set(found.min_neighbor_distance) == {0.0}


@pytest.mark.parametrize("exact", [True, False])
def test_a_crowd_of_near_duplicates_is_counted_whole(exact: bool) -> None:
    draw = np.random.default_rng(2)
    crowd = 1 + 0.04 * draw.standard_normal((2000, 32))
    crowd = (crowd / np.linalg.norm(crowd, axis=1, keepdims=True)).astype(np.float32)
    found = find_near_duplicates(np.arange(2000), crowd, exact=exact)
    assert set(found.repeat_count) == {1999}
    assert set(found.leader) == {0}


def test_a_pair_that_float32_cannot_decide_is_decided_exactly() -> None:
    draw = np.random.default_rng(3)
    base = draw.standard_normal(384)
    base /= np.linalg.norm(base)
    away = draw.standard_normal((400, 384))
    away -= np.outer(away @ base, base)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    squared = THRESHOLD + np.linspace(-2e-8, 2e-8, 400)[:, None]
    cosine = 1 - squared / 2
    vectors = np.vstack([base, cosine * base + np.sqrt(1 - cosine**2) * away]).astype(np.float32)
    expected = naive(np.arange(401), vectors, THRESHOLD)
    assert 100 < expected["repeat_count"][0] < 300
    for exact in (True, False):
        found = find_near_duplicates(np.arange(401), vectors, exact=exact)
        assert found.repeat_count.tolist() == expected["repeat_count"].tolist()
        assert found.leader.tolist() == expected["leader"].tolist()


def test_a_row_without_company_has_no_distance() -> None:
    found = find_near_duplicates([7], on_circle())
    assert np.isnan(found.min_neighbor_distance[0])
    assert (found.repeat_count[0], found.leader[0], found.published[0]) == (0, -1, None)
    assert found.keep.tolist() == [True]
    assert len(find_near_duplicates([], np.empty((0, 8), np.float32)).leader) == 0


@pytest.mark.parametrize("exact", [True, False])
def test_every_row_of_two_or_more_has_a_distance(exact: bool) -> None:
    vectors = np.vstack([np.eye(40), -np.eye(40)]).astype(np.float32)
    found = find_near_duplicates(np.arange(80), vectors, exact=exact)
    assert found.min_neighbor_distance.tolist() == [2.0] * 80


# ---- an earlier set


def test_a_row_that_is_published_already_names_the_first_such_row() -> None:
    vectors = on_circle(0.04, 0.04, 1.0)
    earlier = Earlier(["far", "first", "second"], on_circle(0.04, 0.04, 1.0)[[3, 1, 0]])
    found = find_near_duplicates([0, 1, 2], vectors[:3], earlier=earlier)
    assert found.published.tolist() == ["first", "first", "first"]
    assert find_near_duplicates([9], vectors[:1], earlier=earlier).published.tolist() == ["first"]
    assert not found.keep.any()
    alone = find_near_duplicates([0, 1, 2], vectors[:3])
    assert found.leader.tolist() == alone.leader.tolist()
    assert found.repeat_count.tolist() == alone.repeat_count.tolist()


def test_a_row_far_from_the_earlier_set_is_kept() -> None:
    earlier = Earlier(["one"], on_circle())
    found = find_near_duplicates([4], on_circle(1.0)[1:], earlier=earlier)
    assert found.published.tolist() == [None]
    assert found.keep.tolist() == [True]


@given(st.integers(0, 2**32), st.integers(1, 80), st.integers(0, 80))
def test_the_earlier_set_is_searched_whole(seed: int, rows: int, published: int) -> None:
    vectors = clustered(seed, rows + published)
    mine, theirs = vectors[:rows], vectors[rows:]
    apart = ((mine[:, None].astype(np.float64) - theirs[None]) ** 2).sum(axis=2)
    expected = [next((str(n) for n in np.flatnonzero(row < THRESHOLD)), None) for row in apart]
    earlier = Earlier([str(n) for n in range(published)], theirs)
    found = find_near_duplicates(np.arange(rows), mine, earlier=earlier)
    assert found.published.tolist() == expected


def test_a_large_earlier_set_is_searched_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(5, 3000)
    earlier = Earlier([str(n) for n in range(2000)], vectors[1000:])
    whole = find_near_duplicates(np.arange(1000), vectors[:1000], earlier=earlier)
    monkeypatch.setattr(search, "EXACT_ROWS", 10)
    assert find_near_duplicates(
        np.arange(1000), vectors[:1000], earlier=earlier
    ).published.tolist() == (whole.published.tolist())
    assert any(whole.published)
    assert not all(whole.published)


# ---- only the rows decide


@given(st.integers(0, 2**32), st.integers(2, 120), st.sampled_from([0.001, THRESHOLD, 0.5, 5.0]))
def test_comparing_all_pairs_finds_what_the_definition_says(
    seed: int, rows: int, threshold: float
) -> None:
    vectors = clustered(seed, rows)
    row_ids = np.random.default_rng(seed).permutation(10 * rows)[:rows]
    expected = naive(row_ids, vectors, threshold)
    found = find_near_duplicates(row_ids, vectors, threshold, exact=True)
    for column, values in expected.items():
        assert getattr(found, column).tolist() == values.tolist()


@given(st.integers(0, 2**32), st.integers(2, 200), st.booleans())
def test_neither_order_nor_batches_change_a_bit(seed: int, rows: int, exact: bool) -> None:
    vectors = clustered(seed, rows)
    draw = np.random.default_rng(seed)
    row_ids, order = draw.permutation(10 * rows)[:rows], draw.permutation(rows)
    earlier = Earlier(["a", "b", "c"], clustered(seed, 3))
    found = find_near_duplicates(row_ids, vectors, exact=exact, earlier=earlier)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BLOCK", int(draw.integers(1, 50)))
        again = find_near_duplicates(row_ids[order], vectors[order], exact=exact, earlier=earlier)
    assert same(found, again, order)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(2, 1500))
def test_cells_miss_no_near_duplicate(seed: int, rows: int) -> None:
    vectors = clustered(seed, rows)
    row_ids = np.arange(rows)
    whole = find_near_duplicates(row_ids, vectors, exact=True)
    found = find_near_duplicates(row_ids, vectors, exact=False)
    assert found.repeat_count.tolist() == whole.repeat_count.tolist()
    assert found.leader.tolist() == whole.leader.tolist()
    near = whole.repeat_count > 0
    assert (found.min_neighbor_distance[near] == whole.min_neighbor_distance[near]).all()
    assert (found.min_neighbor_distance >= whole.min_neighbor_distance).all()


# ---- what is refused


@pytest.mark.parametrize(
    ("row_ids", "vectors", "said"),
    [
        ([0, 0], on_circle(1.0), "distinct"),
        ([0, -1], on_circle(1.0), "0 or more"),
        ([0], on_circle(1.0), "shape"),
        ([0, 1], on_circle(1.0).astype(np.float64), "float32"),
        ([0, 1], 2 * on_circle(1.0), "length 1"),
        ([0, 1], np.nan * on_circle(1.0), "finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(row_ids: list[int], vectors: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        find_near_duplicates(row_ids, vectors)


def test_a_threshold_of_nothing_and_a_lame_earlier_set_are_refused() -> None:
    with pytest.raises(ValueError, match="over 0"):
        find_near_duplicates([0, 1], on_circle(1.0), 0.0)
    with pytest.raises(ValueError, match="names"):
        find_near_duplicates([0, 1], on_circle(1.0), earlier=Earlier(["one"], on_circle(1.0)))
