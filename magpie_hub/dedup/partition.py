"""Cells of unit vectors, by which near-duplicates are found without comparing all pairs.

A vector's home is the cell of its nearest centroid. If y is within a distance r of x and at home in
cell b while x is at home in cell a, then, y being no nearer to a's centroid than to b's,

    |x - b|² - |x - a|²  ≤  2 r |a - b|

(neither can be further than r from the plane between the centroids). So x need only visit the cells
that pass this test, and no near-duplicate is missed, wherever the centroids are. They determine how
long a search takes, not what it finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magpie_hub.dedup.distance import LENGTH_TOLERANCE, Places, Vectors, product_error

_TRAINED_ON = 24  # Sample rows for each cell.
_ROUNDS = 3  # Of k-means; more makes the search no quicker than they cost.
_ROWS = 2048  # Rows compared with centroids at once.
_CELLS = 128  # Cells whose visitors are in memory together.
_VISITORS, _MEMBERS = 1024, 4096  # Who meets at once.


@dataclass(frozen=True, slots=True)
class Placed:
    """Vectors in the order of their homes.

    Attributes:
        vectors: Shape (rows, dim).
        source: Which of the given rows each was.
        home: The cell of each, ascending.
        affinity: Cosine with the home's centroid c, less |c|²/2: the greatest of any cell's.
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
    """Cells around centroids.

    Args:
        centroids: Shape (cells, dim).
    """

    def __init__(self, centroids: Vectors) -> None:
        self._centroids = centroids
        self._half = (centroids.astype(np.float64) ** 2).sum(axis=1) / 2
        # Two cosines of x and two of y, each with its error, make up a test.
        self._slack = 5 * product_error(centroids.shape[1]) + LENGTH_TOLERANCE

    def __len__(self) -> int:
        return len(self._centroids)

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
        for _ in range(_ROUNDS if count > 1 else 0):
            placed = cells.place(vectors, sample)
            held = np.flatnonzero(np.diff(placed.starts))
            sums = np.add.reduceat(placed.vectors, placed.starts[held], axis=0)
            centroids = cells._centroids.copy()
            centroids[held] = sums / np.diff(placed.starts)[held, None].astype(np.float32)
            cells = cls(centroids)
        return cells

    def place(self, vectors: Vectors, rows: Places) -> Placed:
        """Finds the homes of rows; makes one copy of their vectors."""
        home = np.empty(len(rows), np.int32)
        affinity = np.empty(len(rows), np.float32)
        half = self._half.astype(np.float32)
        for begin in range(0, len(rows), _ROWS):
            part = slice(begin, begin + _ROWS)
            found = vectors[rows[part]] @ self._centroids.T
            found -= half
            home[part], affinity[part] = found.argmax(axis=1), found.max(axis=1)
        order = np.argsort(home, kind="stable")
        starts = np.searchsorted(home[order], np.arange(len(self) + 1))
        return Placed(vectors[rows[order]], order, home[order], affinity[order], starts)

    def visits(
        self, left: Placed, right: Placed, radius: float, *, upwards: bool
    ) -> Iterator[tuple[Places, Places]]:
        """Yields who meets whom so that all pairs within a radius meet.

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
            rows, columns = self._visitors(left, cells, radius, upwards)
            order = np.argsort(columns, kind="stable")
            of_cell = np.split(rows[order], np.searchsorted(columns[order], range(1, len(cells))))
            for cell, mine in zip(cells.tolist(), of_cell, strict=True):
                members = right.members(cell)
                for begin in range(0, len(mine), _VISITORS):
                    for start in range(0, len(members), _MEMBERS):
                        yield mine[begin : begin + _VISITORS], members[start : start + _MEMBERS]

    def _visitors(
        self, left: Placed, cells: Places, radius: float, upwards: bool
    ) -> tuple[Places, NDArray[np.int16]]:
        """Returns who passes the test: places in `left`, and numbers among `cells`."""
        rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int16)]
        reach = (radius * self._apart(cells) + self._slack).astype(np.float32)
        centroids, half = self._centroids[cells].T, self._half[cells].astype(np.float32)
        end = int(left.starts[cells[-1]]) if upwards else len(left.home)
        for begin in range(0, end, 8 * _ROWS):
            part = slice(begin, min(begin + 8 * _ROWS, end))
            home = left.home[part]
            passes = (
                left.vectors[part] @ centroids - half + reach[home] >= left.affinity[part, None]
            )
            if upwards and home[-1] >= cells[0]:
                passes &= home[:, None] < cells
            row, column = np.nonzero(passes)
            rows.append(row + begin)
            columns.append(column.astype(np.int16))
        return np.concatenate(rows), np.concatenate(columns)

    def _apart(self, cells: Places) -> NDArray[np.float64]:
        """Returns the distances of all centroids from some of them."""
        centroids = self._centroids.astype(np.float64)
        squared = self._half[:, None] + self._half[cells] - centroids @ centroids[cells].T
        apart: NDArray[np.float64] = np.sqrt(2 * np.maximum(squared, 0))
        return apart
