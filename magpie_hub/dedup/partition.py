"""Cells: a partition of unit vectors by which near-duplicates are found without comparing all.

A vector's home is the cell of its nearest centroid. If y is within a distance r of x and at home in
cell b while x is at home in cell a, then, y being no nearer to a's centroid than to b's,

    |x - b|² - |x - a|²  ≤  2 r |a - b|

(neither can be further than r from the plane between the centroids), and |y - b| ≥ |x - b| - r. So
x need only visit the cells that pass the first test, and there the members that pass the second:
no near-duplicate is missed, wherever the centroids are. They decide how long a search takes, not
what it finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magpie_hub.dedup.distance import LENGTH_TOLERANCE, Places, Vectors, product_error

_TRAINED_ON = 24  # Sample rows for each cell.
_ROUNDS = 3  # Of k-means; more makes the search no quicker than they cost.
_ROWS = 16_384  # Rows compared with centroids at once.
_CELLS = 128  # Cells whose visitors are in memory together.
_VISITORS = 1024  # Visitors that meet the same members of a cell.
_MEMBERS = 4096  # Members that they meet at once.


@dataclass(frozen=True, slots=True)
class Placed:
    """Vectors in the order of their homes, within a cell those on its rim first.

    Attributes:
        vectors: Shape (rows, dim).
        source: Which of the given rows each was.
        home: The cell of each, ascending.
        affinity: Cosine with the home's centroid c, less |c|²/2: the greatest of any cell's. It is
            (1 - |x - c|²)/2.
        starts: Where each cell begins; one more than there are cells.
    """

    vectors: Vectors
    source: Places
    home: NDArray[np.int32]
    affinity: NDArray[np.float32]
    starts: Places

    def members(self, cell: int) -> Places:
        """Returns the places of a cell's members."""
        return np.arange(self.starts[cell], self.starts[cell + 1])


class Partition:
    """Centroids.

    Args:
        centroids: Shape (cells, dim).
    """

    def __init__(self, centroids: Vectors) -> None:
        self.centroids = centroids
        self._half = (centroids.astype(np.float64) ** 2).sum(axis=1) / 2
        # Two cosines of x and two of y, each with its error, make up a test.
        self._slack = 5 * product_error(centroids.shape[1]) + LENGTH_TOLERANCE

    def __len__(self) -> int:
        return len(self.centroids)

    @classmethod
    def train(cls, vectors: Vectors, rows: Places, count: int) -> Partition:
        """Makes cells by k-means on a sample: the same for the same rows.

        Args:
            vectors: All vectors.
            rows: Those to make cells for.
            count: How many cells; at most as many as there are rows.
        """
        draw = np.random.default_rng(0)
        sample = rows[np.sort(draw.permutation(len(rows))[: count * _TRAINED_ON])]
        chosen = np.sort(draw.permutation(len(sample))[:count])
        cells = cls(vectors[sample[chosen]])
        for _ in range(_ROUNDS):
            placed = cells.place(vectors, sample)
            held = np.flatnonzero(np.diff(placed.starts))
            sums = np.add.reduceat(placed.vectors, placed.starts[held], axis=0)
            centroids = cells.centroids.copy()
            centroids[held] = sums / np.diff(placed.starts)[held, None].astype(np.float32)
            cells = cls(centroids)
        return cells

    def place(self, vectors: Vectors, rows: Places) -> Placed:
        """Finds the homes of rows; makes one copy of their vectors."""
        home = np.empty(len(rows), np.int32)
        affinity = np.empty(len(rows), np.float32)
        half = self._half.astype(np.float32)
        for begin in range(0, len(rows), _ROWS // 8):
            part = slice(begin, begin + _ROWS // 8)
            found = vectors[rows[part]] @ self.centroids.T
            found -= half
            home[part] = found.argmax(axis=1)
            affinity[part] = found.max(axis=1)
        order = np.lexsort((affinity, home))
        starts = np.searchsorted(home[order], np.arange(len(self) + 1))
        return Placed(vectors[rows[order]], order, home[order], affinity[order], starts)

    def visits(
        self, left: Placed, right: Placed, radius: float, *, upwards: bool
    ) -> Iterator[tuple[Places, Places]]:
        """Says who has to meet whom so that all pairs within a radius meet.

        Args:
            left: The visitors.
            right: The visited.
            radius: Of the pairs that must not be missed, a distance (not squared).
            upwards: Only visit cells above one's own. For visits among the same vectors, where a
                pair passes the test from either side, so one visit is enough.

        Yields:
            Places in `left`, and places in `right`: members of one cell.
        """
        for first in range(0, len(self), _CELLS):
            cells = np.arange(first, min(first + _CELLS, len(self)))
            reach = (radius * self._apart(cells) + self._slack).astype(np.float32)
            rows, columns, affinity = self._visitors(left, cells, reach, upwards)
            order = np.lexsort((-affinity, columns))
            bounds = np.searchsorted(columns[order], np.arange(len(cells) + 1))
            for n, cell in enumerate(cells):
                members = right.members(int(cell))
                mine = order[bounds[n] : bounds[n + 1]]
                for begin in range(0, len(mine), _VISITORS):
                    visitors = mine[begin : begin + _VISITORS]
                    # The first of these is the nearest to the centroid.
                    away = np.sqrt(max(0, 1 - 2 * affinity[visitors[0]] - 2 * self._slack))
                    rim = (1 - max(0, away - radius) ** 2) / 2 + self._slack
                    met = np.searchsorted(right.affinity[members], rim, side="right")
                    for start in range(0, met, _MEMBERS):
                        yield rows[visitors], members[start : min(start + _MEMBERS, met)]

    def _visitors(
        self, left: Placed, cells: Places, reach: Vectors, upwards: bool
    ) -> tuple[Places, NDArray[np.int16], NDArray[np.float32]]:
        """Returns who passes: places in `left`, numbers among `cells`, affinities with these."""
        rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int16)]
        affinity = [np.empty(0, np.float32)]
        centroids, half = self.centroids[cells].T, self._half[cells].astype(np.float32)
        end = int(left.starts[cells[-1]]) if upwards else len(left.home)
        for begin in range(0, end, _ROWS):
            part = slice(begin, min(begin + _ROWS, end))
            home = left.home[part]
            found = left.vectors[part] @ centroids
            found -= half
            passes = found + reach[home] >= left.affinity[part, None]
            if upwards and home[-1] >= cells[0]:
                passes &= home[:, None] < cells
            row, column = np.nonzero(passes)
            rows.append(row + begin)
            columns.append(column.astype(np.int16))
            affinity.append(found[row, column])
        return np.concatenate(rows), np.concatenate(columns), np.concatenate(affinity)

    def _apart(self, cells: Places) -> NDArray[np.float64]:
        """Returns the distances of all centroids from some of them."""
        centroids = self.centroids.astype(np.float64)
        squared = self._half[:, None] + self._half[cells] - centroids @ centroids[cells].T
        apart: NDArray[np.float64] = np.sqrt(2 * np.maximum(squared, 0))
        return apart
