"""Squared L2 distances of unit vectors: quick ones with a known error, and exact ones.

A float32 matrix product gives cosines for a fraction of the price, but its last bits depend on the
shape of the product. So it only chooses which pairs deserve a look: whatever lies within its
error of a decision is computed again, pair by pair, in float64 and in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]

LENGTH_TOLERANCE = 1e-4
"""How far a unit vector's squared length may be from 1: float32 keeps it to a millionth."""

_PAIRS = 512  # Pairs computed at once: their float64 copies stay in a core's cache.


def squared_distances(left: Vectors, i: Places, right: Vectors, j: Places) -> NDArray[np.float64]:
    """Returns |left[i] - right[j]|² of each pair, the same to the bit in whatever company."""
    result = np.empty(len(i), np.float64)
    for begin in range(0, len(i), _PAIRS):
        part = slice(begin, begin + _PAIRS)
        delta = left[i[part]].astype(np.float64)
        delta -= right[j[part]]
        delta *= delta
        result[part] = delta.sum(axis=1)
    return result


def product_error(dim: int) -> float:
    """Returns how far a float32 dot product of two unit vectors can be off, in any order of sums.

    The classical bound n·u/(1 - n·u) with u = 2⁻²⁴ (Higham, Accuracy and Stability of Numerical
    Algorithms, §3.1), with a tenth more for what the bound's own use rounds.
    """
    return 1.1 * (dim + 4) * 2.0**-24


def length_error(vectors: Vectors) -> float:
    """Returns how far the squared lengths of vectors are from 1, at most.

    Raises:
        ValueError: A vector is not finite, or not of length 1.
    """
    worst = 0.0
    for begin in range(0, len(vectors), 4096):
        part = vectors[begin : begin + 4096].astype(np.float64)
        part *= part
        off = np.abs(part.sum(axis=1) - 1)
        if not (off < LENGTH_TOLERANCE).all():
            raise ValueError("vectors must be finite and of length 1")
        worst = max(worst, float(off.max()))
    return worst


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a float32 cosine says of a pair's squared distance.

    Attributes:
        threshold: Pairs nearer than this are near-duplicates.
        error: How far 2 - 2·cosine can be from the exact squared distance.
    """

    threshold: float
    error: float

    @property
    def possible(self) -> float:
        """No near-duplicates have a lower cosine."""
        return 1 - (self.threshold + self.error) / 2

    @property
    def certain(self) -> float:
        """All pairs with a higher cosine are near-duplicates."""
        return 1 - (self.threshold - self.error) / 2

    def near(
        self, cosines: Vectors, left: Vectors, i: Places, right: Vectors, j: Places
    ) -> tuple[Places, Places]:
        """Finds the near-duplicates in a tile of cosines.

        Args:
            cosines: Of every vector in `left[i]` with every one in `right[j]`.
            left: The one side's vectors.
            i: Those of them that the tile's rows stand for.
            right: The other side's vectors.
            j: Those of them that the tile's columns stand for.

        Returns:
            Rows and columns of the tile, as pairs.
        """
        rows, columns = pairs_over(cosines, cosines.max(axis=1), self.possible)
        doubtful = np.flatnonzero(cosines[rows, columns] <= self.certain)
        exact = squared_distances(left, i[rows[doubtful]], right, j[columns[doubtful]])
        keep = np.ones(len(rows), bool)
        keep[doubtful] = exact < self.threshold
        return rows[keep], columns[keep]


def pairs_over(
    products: NDArray[np.float32], highest: NDArray[np.float32], least: float
) -> tuple[Places, Places]:
    """Returns rows and columns of the products of at least so much; `highest` is each row's."""
    rows = np.flatnonzero(highest >= least)
    if not len(rows):
        return rows, rows
    hot, columns = np.nonzero(products[rows] >= least)
    return rows[hot], columns
