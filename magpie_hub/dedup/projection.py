"""Sketches: short stand-ins for unit vectors that never make a pair look less alike than it is.

A vector is split into its part along the main axes of the set and the rest, of which only the
length is kept. By Cauchy and Schwarz, the product of two sketches is no less than the cosine:

    x·y  =  x₁·y₁ + x₂·y₂  ≤  x₁·y₁ + |x₂||y₂|

So near-duplicates can be looked for among sketches, at a fraction of the arithmetic, and none is
missed: what looks alike is then compared exactly.
"""

from __future__ import annotations

import numpy as np

from magpie_hub.dedup.distance import LENGTH_TOLERANCE, Places, Vectors, product_error

_AXES = 63  # With the rest's length, 64 numbers.
_SAMPLE = 20_000  # Rows by which the axes are chosen.
_ROWS = 4096  # Rows sketched at once.


class Projection:
    """The main axes of a set.

    Args:
        vectors: All vectors.
        rows: Those to choose axes for; the same rows give the same axes.

    Attributes:
        slack: How far the product of two sketches, as computed, can fall short of the cosine.
    """

    def __init__(self, vectors: Vectors, rows: Places) -> None:
        draw = np.random.default_rng(1)
        sample = vectors[rows[np.sort(draw.permutation(len(rows))[:_SAMPLE])]]
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
