"""Squared L2 distances of unit vectors: quick ones with a known error, and exact ones.

A float32 matrix product gives cosines at a fraction of the cost, but its last bits depend on the
shape of the product. So it only selects pairs: a pair within the error of a decision is computed
again in float64 and in a fixed order. A sketch is cheaper still. It keeps a vector's part along the
main axes of the set, and of the rest only the length. By Cauchy and Schwarz,

    x·y  =  x₁·y₁ + x₂·y₂  ≤  x₁·y₁ + |x₂||y₂|,

the product of two sketches is no less than the cosine: looking among sketches misses no pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]

LENGTH_TOLERANCE = 1e-4
"""How far a unit vector's squared length may be from 1: float32 keeps it to a millionth."""

_AXES = 63  # With the length of the rest, a sketch has 64 numbers.
_SAMPLE = 20_000  # Rows that determine the axes.
_ROWS = 4096  # Rows that are in memory as float64, or sketched, at once.
_PAIRS = 512  # Pairs computed at once: their float64 copies stay in a core's cache.


def squared_distances(left: Vectors, i: Places, right: Vectors, j: Places) -> NDArray[np.float64]:
    """Returns |left[i] - right[j]|² of each pair, the same to the bit in any batch."""
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
    for begin in range(0, len(vectors), _ROWS):
        part = vectors[begin : begin + _ROWS].astype(np.float64)
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

    @classmethod
    def of(cls, threshold: float, *sides: Vectors) -> Bounds:
        """Measures the error for pairs of these vectors.

        Raises:
            ValueError: A vector is not finite, or not of length 1.
        """
        off = max(length_error(side) for side in sides)
        return cls(threshold, 2 * off + 2 * (1 + off) * product_error(sides[0].shape[1]))

    @property
    def possible(self) -> float:
        """No near-duplicates have a lower cosine."""
        return 1 - (self.threshold + self.error) / 2

    def near(
        self, cosines: Vectors, left: Vectors, i: Places, right: Vectors, j: Places
    ) -> tuple[Places, Places]:
        """Finds the near-duplicates among cosines of `left[i]` (rows) with `right[j]` (columns).

        Returns:
            The pairs, as places in `left` and places in `right`.
        """
        hot = np.flatnonzero(cosines.max(axis=1) >= self.possible)
        rows, columns = np.nonzero(cosines[hot] >= self.possible)
        rows = hot[rows]
        certain = 1 - (self.threshold - self.error) / 2
        doubtful = np.flatnonzero(cosines[rows, columns] <= certain)
        exact = squared_distances(left, i[rows[doubtful]], right, j[columns[doubtful]])
        keep = np.ones(len(rows), bool)
        keep[doubtful] = exact < self.threshold
        return i[rows[keep]], j[columns[keep]]


class Sketcher:
    """The main axes of a set.

    Args:
        vectors: The set; the same vectors give the same axes.

    Attributes:
        slack: How far the product of two sketches, as computed, can fall short of the cosine.
    """

    def __init__(self, vectors: Vectors) -> None:
        draw = np.random.default_rng(1)
        sample = vectors[np.sort(draw.permutation(len(vectors))[:_SAMPLE])]
        _, axes = np.linalg.eigh((sample.T @ sample).astype(np.float64))
        self._axes: Vectors = np.ascontiguousarray(axes[:, ::-1][:, :_AXES], np.float32)
        # Every sum of products below is off by this at most, and a length by its tolerance.
        self.slack = 4 * product_error(vectors.shape[1]) + 2 * LENGTH_TOLERANCE

    def sketch(self, vectors: Vectors) -> Vectors:
        """Returns sketches, of shape (rows, 64 or less)."""
        result = np.empty((len(vectors), self._axes.shape[1] + 1), np.float32)
        for begin in range(0, len(vectors), _ROWS):
            part = slice(begin, begin + _ROWS)
            main = vectors[part] @ self._axes
            result[part, :-1] = main
            result[part, -1] = np.sqrt(np.maximum(1 - (main * main).sum(axis=1), 0) + self.slack)
        return result
