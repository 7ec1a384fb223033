"""Tallies: what is written down when vectors meet.

Every figure is a minimum or a sum of whole numbers over pairs, so it does not matter in which
order, in which tiles or from which side pairs come, as long as each comes once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from magpie_hub.dedup.distance import Bounds, Places, Vectors, pairs_over, squared_distances
from magpie_hub.dedup.partition import Partition, Placed
from magpie_hub.dedup.projection import Projection

BLOCK = 1024
"""Side of a tile of cosines: 4 MB, which stays in cache while it is read."""

_CROWDED = 0.02  # Share of a tile's pairs beyond which all cosines cost less than exact distances.

NOBODY = np.iinfo(np.int64).max


class PairCounts:
    """Vectors of one set, each compared with the others.

    Args:
        placed: The vectors, all distinct.
        rank: Number of each by which "lowest" is meant.
        weight: How often each occurs.
        bounds: Which pairs are near-duplicates.

    Attributes:
        nearest: Squared distance to the nearest other vector met; infinite if none was.
        repeats: Weight of the near-duplicates of each, itself not counted.
        lowest: Lowest rank among the near-duplicates of each; NOBODY if there are none.
    """

    def __init__(
        self, placed: Placed, rank: Places, weight: NDArray[np.int64], bounds: Bounds
    ) -> None:
        self._vectors, self._placed = placed.vectors, placed
        self._rank, self._weight, self._bounds = rank, weight, bounds
        size = len(rank)
        self.nearest = np.full(size, np.inf)
        self.repeats = np.zeros(size, np.int64)
        self.lowest = np.full(size, NOBODY)
        self._best = np.full(size, -np.inf, np.float32)  # The highest cosine seen by each.

    def take(self, cells: Partition) -> None:
        """Lets all meet who could be near-duplicates, and everybody meet somebody."""
        for cell in range(len(cells)):
            members = self._placed.members(cell)
            for i, j, cosines in _tiles(self._vectors, members, self._vectors, members, half=True):
                self._compare(i, j, cosines)
        if len(cells) > 1:
            self._visit(cells)
        alone = np.flatnonzero(np.isinf(self.nearest))
        everybody = np.arange(len(self._rank))
        for i, j, cosines in _tiles(self._vectors, alone, self._vectors, everybody):
            cosines[i[:, None] == j] = -np.inf
            self._approach(i, j, cosines)

    def _compare(self, i: Places, j: Places, cosines: Vectors) -> None:
        """Writes down what a tile of cosines says: of both its sides, unless they are the same."""
        own = i[0] == j[0]
        if own:
            np.fill_diagonal(cosines, -np.inf)
        rows, columns = self._bounds.near(cosines, self._vectors, i, self._vectors, j)
        self._repeat(i[rows], j[columns])
        self._approach(i, j, cosines)
        if not own:
            self._repeat(j[columns], i[rows])
            self._approach(j, i, cosines.T)

    def _visit(self, cells: Partition) -> None:
        """Finds the near-duplicates across cells, and likely nearest neighbours, by sketches."""
        sketcher = Projection(self._vectors, np.arange(len(self._rank)))
        sketches = sketcher.sketch(self._vectors)
        least = self._bounds.possible - sketcher.slack
        radius = self._bounds.threshold**0.5
        for i, j in cells.visits(self._placed, self._placed, radius, upwards=True):
            likeness = sketches[i] @ sketches[j].T
            highest = likeness.max(axis=1)
            rows, columns = pairs_over(likeness, highest, least)
            if len(rows) > likeness.size * _CROWDED:
                self._compare(i, j, self._vectors[i] @ self._vectors[j].T)
                continue
            rows, columns = i[rows], j[columns]
            apart = squared_distances(self._vectors, rows, self._vectors, columns)
            near = apart < self._bounds.threshold
            for of, by in ((rows[near], columns[near]), (columns[near], rows[near])):
                self._repeat(of, by)
                np.minimum.at(self.nearest, of, apart[near])
            self._try_likeliest(i, j, likeness, highest)
            self._try_likeliest(j, i, likeness.T, likeness.max(axis=0))

    def _try_likeliest(
        self, of: Places, by: Places, likeness: Vectors, highest: NDArray[np.float32]
    ) -> None:
        """Compares each with the one most like it, if that may be nearer than the nearest yet."""
        hot = np.flatnonzero(highest >= 1 - self.nearest[of] / 2)
        i, j = of[hot], by[likeness[hot].argmax(axis=1)]
        apart = squared_distances(self._vectors, i, self._vectors, j)
        self.nearest[i] = np.minimum(self.nearest[i], apart)

    def _repeat(self, of: Places, by: Places) -> None:
        """Writes down near-duplicates."""
        np.add.at(self.repeats, of, self._weight[by])
        np.minimum.at(self.lowest, of, self._rank[by])

    def _approach(self, of: Places, by: Places, cosines: Vectors) -> None:
        """Writes down the exact distances of those that may be the nearest so far."""
        highest = cosines.max(axis=1)
        best = np.maximum(self._best[of], highest)
        self._best[of] = best
        within = best - np.float32(self._bounds.error)
        rows = np.flatnonzero((highest >= within) & np.isfinite(best))
        hot, columns = np.nonzero(cosines[rows] >= within[rows, None])
        i, j = of[rows[hot]], by[columns]
        np.minimum.at(self.nearest, i, squared_distances(self._vectors, i, self._vectors, j))


def first_near(cells: Partition, left: Placed, right: Placed, bounds: Bounds) -> Places:
    """Finds near-duplicates of vectors in another set.

    Args:
        cells: Where both are placed.
        left: The vectors.
        right: The other set.
        bounds: Which pairs are near-duplicates.

    Returns:
        For each place on the left, the lowest `source` of its near-duplicates; NOBODY if none.
    """
    lowest = np.full(len(left.home), NOBODY)
    sketcher = Projection(right.vectors, np.arange(len(right.home)))
    mine, theirs = sketcher.sketch(left.vectors), sketcher.sketch(right.vectors)
    least = bounds.possible - sketcher.slack
    for i, j in cells.visits(left, right, bounds.threshold**0.5, upwards=False):
        likeness = mine[i] @ theirs[j].T
        rows, columns = pairs_over(likeness, likeness.max(axis=1), least)
        rows, columns = i[rows], j[columns]
        near = squared_distances(left.vectors, rows, right.vectors, columns) < bounds.threshold
        np.minimum.at(lowest, rows[near], right.source[columns[near]])
    return lowest


def _tiles(
    left: Vectors, i: Places, right: Vectors, j: Places, *, half: bool = False
) -> Iterator[tuple[Places, Places, Vectors]]:
    """Yields parts of `i` and `j` with their cosines, which the next tile overwrites.

    Args:
        left: Vectors of the one side.
        i: Those of them to take.
        right: Vectors of the other side.
        j: Those of them to take.
        half: Leave out tiles below the diagonal; for the same places on both sides.
    """
    memory = np.empty(BLOCK * BLOCK, np.float32)
    for begin in range(0, len(i), BLOCK):
        rows = i[begin : begin + BLOCK]
        mine = left[rows]
        for other in range(begin if half else 0, len(j), BLOCK):
            columns = j[other : other + BLOCK]
            tile = memory[: len(rows) * len(columns)].reshape(len(rows), len(columns))
            np.matmul(mine, right[columns].T, out=tile)
            yield rows, columns, tile
