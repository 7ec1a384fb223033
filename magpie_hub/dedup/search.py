"""The search for near-duplicates: of each row, how near its neighbours are and who leads them.

The columns are Magpie's (`gen_dis.py` of the official code), without its limits: repeats are
counted beyond 500, an exact duplicate is at distance 0, and nothing depends on the order or the
batches in which rows come. All decisions fall on float64 distances of pairs, each computed in
a fixed order; the set of rows and vectors alone determines the outcome.

Up to `EXACT_ROWS` rows everything is compared with everything. Beyond, rows meet by cells: every
near-duplicate is still found (`cells` and `sketch` say why), and so `repeat_count`, `leader` and
`published` are exact at any size. Only the distance of a row that has no near-duplicate is then
that of the nearest row it met: never under the threshold, and for one row in twenty (benchmarks)
more than the nearest of all. Such a distance is the same again on the same machine and libraries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magpie_hub.dedup.distance import Bounds, Places, Vectors, length_error, product_error
from magpie_hub.dedup.exact import distinct
from magpie_hub.dedup.pairs import NOBODY, PairCounts, first_near
from magpie_hub.dedup.partition import Partition

THRESHOLD = 0.05
"""Squared L2 under which two unit vectors are near-duplicates (cosine over 0.975), as in the
official code."""

EXACT_ROWS = 100_000
"""Rows up to which all pairs are compared: about a minute on two cores at 384 dimensions."""

NONE = -1
"""`leader` of a row without near-duplicates; so row ids are 0 or more."""

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
class Neighbors:
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


def find_neighbors(
    row_ids: ArrayLike,
    vectors: Vectors,
    threshold: float = THRESHOLD,
    *,
    earlier: Earlier | None = None,
    exact: bool | None = None,
) -> Neighbors:
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
    groups = distinct(vectors, order)
    ours = order[groups.first]
    if exact is None:
        exact = len(rows) <= EXACT_ROWS
    nearest, repeats, lowest = _among(
        vectors, ours, groups.weight, _bounds(threshold, vectors), 1 if exact else _cells(len(ours))
    )
    leader = np.where(repeats > 0, rows[order[groups.first[lowest]]], NONE)
    name = np.full(len(ours), None, object)
    if earlier is not None and len(earlier.names):
        first = _published(
            vectors, ours, earlier.vectors, _bounds(threshold, vectors, earlier.vectors)
        )
        known = first != NOBODY
        name[known] = np.array(earlier.names, object)[first[known]]
    of = np.empty(len(rows), np.int64)
    of[order] = groups.group
    return Neighbors(rows, nearest[of], repeats[of], leader[of], name[of])


def _among(
    vectors: Vectors, rows: Places, weight: NDArray[np.int64], bounds: Bounds, cells: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], Places]:
    """Compares distinct vectors, whose ranks are their places in `rows`.

    Returns:
        Of each: the distance to the nearest other row, the number of near-duplicate rows, and the
        lowest rank among its near-duplicates and itself.
    """
    partition = Partition.train(vectors, rows, cells)
    placed = partition.place(vectors, rows)
    rank = placed.source
    tally = PairCounts(placed, rank, weight[rank], bounds)
    tally.take(partition)
    nearest, repeats, lowest = np.empty(len(rows)), weight - 1, np.arange(len(rows))
    nearest[rank] = np.where(np.isinf(tally.nearest), np.nan, tally.nearest)
    nearest[weight > 1] = 0.0
    repeats[rank] += tally.repeats
    lowest[rank] = np.minimum(tally.lowest, rank)
    return nearest, repeats, lowest


def _published(vectors: Vectors, rows: Places, earlier: Vectors, bounds: Bounds) -> Places:
    """Returns of each row the first near-duplicate in the earlier set; NOBODY if none."""
    theirs = np.arange(len(earlier))
    small = len(rows) * len(theirs) <= EXACT_ROWS**2
    partition = Partition.train(earlier, theirs, 1 if small else _cells(len(theirs)))
    placed = partition.place(vectors, rows)
    first = np.empty(len(rows), np.int64)
    first[placed.source] = first_near(partition, placed, partition.place(earlier, theirs), bounds)
    return first


def _cells(rows: int) -> int:
    return max(1, min(rows, int(_CELLS_PER_ROOT * rows**0.5)))


def _bounds(threshold: float, *sides: Vectors) -> Bounds:
    """Returns what a float32 cosine says of pairs of these vectors."""
    off = max(length_error(side) for side in sides)
    return Bounds(threshold, 2 * off + 2 * (1 + off) * product_error(sides[0].shape[1]))


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
