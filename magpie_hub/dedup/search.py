"""The search for near-duplicates: how near each row's neighbours are, and who leads them.

The columns are Magpie's (`gen_dis.py` of the official code), without its limits: repeats are
counted beyond 500, an exact duplicate is at distance 0, and nothing depends on the order or the
batches in which rows come. All decisions fall on float64 distances of pairs, each computed in a
fixed order, and every figure is a minimum or a sum of whole numbers over pairs: the set of rows and
vectors alone determines the outcome.

Up to `EXACT_ROWS` rows, all pairs are compared. Beyond, rows meet by cells: every near-duplicate is
still found (`partition` and `distance` say why), so `repeat_count`, `leader` and `published` are
exact at any size. Only the distance of a row without near-duplicates is then that of the nearest
row it met: never under the threshold, and for one row in twenty (benchmarks) more than the nearest
of all. Such a distance is the same again on the same machine and libraries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magpie_hub.dedup.distance import Bounds, Places, Sketcher, Vectors, squared_distances
from magpie_hub.dedup.partition import Partition, Placed

THRESHOLD = 0.05
"""Squared L2 under which two unit vectors are near-duplicates (cosine over 0.975), as in the
official code."""

EXACT_ROWS = 100_000
"""Rows up to which all pairs are compared: about a minute on two cores at 384 dimensions."""

NONE = -1
"""`leader` of a row without near-duplicates; so row ids are 0 or more."""

BLOCK = 1024
"""Side of a tile of cosines: 4 MB, which stays in cache while it is read."""

_NONE_NEAR = np.iinfo(np.int64).max
_CELLS_PER_ROOT = 4  # Cells for each square root of rows.


@dataclass(frozen=True, slots=True)
class Earlier:
    """A set that is published already.

    Attributes:
        names: Of its rows, such as their uuids.
        vectors: Shape (rows, dim), by the same embedding model.
    """

    names: Sequence[str]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """What the search found, in the order in which the rows were given.

    Attributes:
        row_ids: The rows.
        min_neighbor_distance: Squared L2 to the nearest other row; NaN if there is no other.
        repeat_count: Other rows nearer than the threshold, however many.
        leader: -1 without near-duplicates; the row's own id if all its near-duplicates have a
            higher one; else the lowest row id among them.
        published: Name of the first row of the earlier set nearer than the threshold, or None.
            The earlier set counts nowhere else.
    """

    row_ids: NDArray[np.int64]
    min_neighbor_distance: NDArray[np.float64]
    repeat_count: NDArray[np.int64]
    leader: NDArray[np.int64]
    published: NDArray[np.object_]

    @property
    def keep(self) -> NDArray[np.bool_]:
        """The published rule (leader is none or oneself), and not published before."""
        new = np.fromiter((name is None for name in self.published), bool, len(self.published))
        new &= (self.leader == NONE) | (self.leader == self.row_ids)
        return new


def find_near_duplicates(
    row_ids: ArrayLike,
    vectors: Vectors,
    threshold: float = THRESHOLD,
    *,
    earlier: Earlier | None = None,
    exact: bool | None = None,
) -> NearDuplicates:
    """Compares rows with each other, and with an earlier set.

    Memory is that of the vectors once more, and of the earlier set's once more.

    Args:
        row_ids: Distinct, 0 or more, in any order.
        vectors: float32 of shape (rows, dim), each of length 1.
        threshold: Squared L2 under which two rows are near-duplicates; over 0.
        earlier: A published set to compare with as well.
        exact: Whether to compare all pairs, for the sake of the distances; None to decide by
            size. Labels do not depend on it.

    Raises:
        ValueError: Arguments do not fit together, or vectors are not of length 1.
    """
    rows = np.asarray(row_ids, np.int64)
    _check(rows, vectors, threshold, earlier)
    order = np.argsort(rows, kind="stable")
    first, weight, group = _distinct(vectors, order)
    ours = order[first]
    if exact is None:
        exact = len(rows) <= EXACT_ROWS
    partition = Partition.train(vectors, ours, 1 if exact else _cells(len(ours)))
    met = _Neighbors(partition.place(vectors, ours), weight, Bounds.of(threshold, vectors))
    met.run(partition)
    leader = np.where(met.repeats > 0, rows[ours[met.lowest]], NONE)
    name = np.full(len(ours), None, object)
    if earlier is not None and len(earlier.names):
        at = _first_published(vectors, ours, earlier.vectors, threshold)
        known = at != _NONE_NEAR
        name[known] = np.array(earlier.names, object)[at[known]]
    of = np.empty(len(rows), np.int64)
    of[order] = group
    return NearDuplicates(rows, met.nearest[of], met.repeats[of], leader[of], name[of])


class _Neighbors:
    """The neighbours of the distinct vectors of one set, while pairs are compared.

    Args:
        placed: The vectors; `source` is their rank, by which "lowest" is meant.
        weight: How often each occurs, by rank.
        bounds: Which pairs are near-duplicates.

    Attributes, by rank once `run` is through:
        nearest: Squared distance to the nearest other row; NaN if there is none.
        repeats: Near-duplicate rows.
        lowest: Lowest rank among the near-duplicates of each and itself.
    """

    def __init__(self, placed: Placed, weight: NDArray[np.int64], bounds: Bounds) -> None:
        self._placed, self._vectors, self._bounds = placed, placed.vectors, bounds
        self._weight = weight[placed.source]
        self.nearest = np.where(self._weight > 1, 0.0, np.inf)
        self.repeats = self._weight - 1
        self.lowest = placed.source.copy()
        self._best = np.full(len(weight), -np.inf, np.float32)  # The highest cosine seen by each.

    def run(self, partition: Partition) -> None:
        """Compares all pairs that could be near-duplicates, and every vector with another."""
        for cell in range(len(partition)):
            blocks = list(_blocks(self._placed.members(cell)))
            for n, i in enumerate(blocks):
                for j in blocks[n:]:
                    self._compare(i, j)
        if len(partition) > 1:
            self._visit(partition)
        alone = np.flatnonzero(np.isinf(self.nearest))
        for i in _blocks(alone):
            for j in _blocks(np.arange(len(self._best))):
                cosines = self._vectors[i] @ self._vectors[j].T
                cosines[i[:, None] == j] = -np.inf
                self._approach(i, j, cosines)
        self.nearest[np.isinf(self.nearest)] = np.nan
        for values in (self.nearest, self.repeats, self.lowest):
            values[self._placed.source] = values.copy()

    def _compare(self, i: Places, j: Places) -> None:
        """Compares all pairs of two blocks, which are the same or disjoint."""
        cosines = self._vectors[i] @ self._vectors[j].T
        if i[0] == j[0]:
            np.fill_diagonal(cosines, -np.inf)
        mine, theirs = self._bounds.near(cosines, self._vectors, i, self._vectors, j)
        self._repeat(mine, theirs)
        self._approach(i, j, cosines)
        if i[0] != j[0]:
            self._repeat(theirs, mine)
            self._approach(j, i, cosines.T)

    def _visit(self, partition: Partition) -> None:
        """Finds the near-duplicates across cells, and likely nearest neighbours, by sketches."""
        sketcher = Sketcher(self._vectors)
        sketches = sketcher.sketch(self._vectors)
        least = self._bounds.possible - sketcher.slack
        radius = self._bounds.threshold**0.5
        for i, j in partition.visits(self._placed, self._placed, radius, upwards=True):
            likeness = sketches[i] @ sketches[j].T
            rows, columns = _where_over(likeness, least)
            if len(rows):
                self._compare(i[rows], j[columns])
            self._try_likeliest(i, j, likeness)
            self._try_likeliest(j, i, likeness.T)

    def _try_likeliest(self, of: Places, by: Places, likeness: Vectors) -> None:
        """Compares each with the one most like it, if that may be nearer than the nearest yet."""
        hot = np.flatnonzero(likeness.max(axis=1) >= 1 - self.nearest[of] / 2)
        i, j = of[hot], by[likeness[hot].argmax(axis=1)]
        apart = squared_distances(self._vectors, i, self._vectors, j)
        self.nearest[i] = np.minimum(self.nearest[i], apart)

    def _repeat(self, of: Places, by: Places) -> None:
        """Notes near-duplicates."""
        np.add.at(self.repeats, of, self._weight[by])
        np.minimum.at(self.lowest, of, self._placed.source[by])

    def _approach(self, of: Places, by: Places, cosines: Vectors) -> None:
        """Notes the exact distances of those that may be the nearest so far."""
        highest = cosines.max(axis=1)
        best = self._best[of] = np.maximum(self._best[of], highest)
        within = best - np.float32(self._bounds.error)
        rows = np.flatnonzero((highest >= within) & np.isfinite(best))
        hot, columns = np.nonzero(cosines[rows] >= within[rows, None])
        i, j = of[rows[hot]], by[columns]
        np.minimum.at(self.nearest, i, squared_distances(self._vectors, i, self._vectors, j))


def _first_published(vectors: Vectors, rows: Places, earlier: Vectors, threshold: float) -> Places:
    """Returns of each row the first near-duplicate in the earlier set; _NONE_NEAR if none."""
    bounds = Bounds.of(threshold, vectors, earlier)
    theirs = np.arange(len(earlier))
    small = len(rows) * len(theirs) <= EXACT_ROWS**2
    partition = Partition.train(earlier, theirs, 1 if small else _cells(len(theirs)))
    left, right = partition.place(vectors, rows), partition.place(earlier, theirs)
    first = np.full(len(rows), _NONE_NEAR)
    sketcher = Sketcher(right.vectors)
    mine, others = sketcher.sketch(left.vectors), sketcher.sketch(right.vectors)
    for i, j in partition.visits(left, right, threshold**0.5, upwards=False):
        near, columns = _where_over(mine[i] @ others[j].T, bounds.possible - sketcher.slack)
        if len(near):
            i, j = i[near], j[columns]
            cosines = left.vectors[i] @ right.vectors[j].T
            near, columns = bounds.near(cosines, left.vectors, i, right.vectors, j)
            np.minimum.at(first, left.source[near], right.source[columns])
    return first


def _where_over(likeness: Vectors, least: float) -> tuple[Places, Places]:
    """Returns the rows and the columns that hold a likeness of at least so much."""
    rows = np.flatnonzero(likeness.max(axis=1) >= least)
    return rows, np.flatnonzero((likeness[rows] >= least).any(axis=0))


def _distinct(vectors: Vectors, order: Places) -> tuple[Places, NDArray[np.int64], Places]:
    """Groups vectors that are equal to the bit, so that each is compared once.

    Returns:
        Of each distinct vector its first place in the order, ascending, and how often it occurs;
        of each place in the order its group.
    """
    groups: dict[bytes, int] = {}
    first: list[int] = []
    group = np.empty(len(order), np.int64)
    for place, row in enumerate(order.tolist()):
        key = hashlib.blake2b(vectors[row].tobytes(), digest_size=16).digest()
        found = group[place] = groups.setdefault(key, len(groups))
        if found == len(first):
            first.append(place)
    return np.array(first, np.int64), np.bincount(group, minlength=len(first)), group


def _blocks(places: Places) -> Iterator[Places]:
    for begin in range(0, len(places), BLOCK):
        yield places[begin : begin + BLOCK]


def _cells(rows: int) -> int:
    return max(1, min(rows, int(_CELLS_PER_ROOT * rows**0.5)))


def _check(
    rows: NDArray[np.int64], vectors: Vectors, threshold: float, earlier: Earlier | None
) -> None:
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(rows):
        raise ValueError(f"{len(rows)} rows need float32 vectors of shape ({len(rows)}, dim)")
    if len(rows) and (rows.min() < 0 or len(np.unique(rows)) < len(rows)):
        raise ValueError("row ids must be distinct, and 0 or more")
    if not threshold > 0:
        raise ValueError(f"threshold must be over 0, not {threshold}")
    if earlier is None:
        return
    theirs = earlier.vectors
    if theirs.dtype != np.float32 or theirs.shape != (len(earlier.names), vectors.shape[1]):
        raise ValueError(
            f"{len(earlier.names)} names need float32 vectors of shape "
            f"({len(earlier.names)}, {vectors.shape[1]})"
        )
