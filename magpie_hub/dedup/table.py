"""The neighbour columns of a pool of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

NO_LEADER = -1
"""In `NeighborTable.leader`: the row has no near-duplicate."""


@dataclass(frozen=True, slots=True)
class NeighborTable:
    """Neighbour columns of a pool.

    Attributes:
        row_ids: Its rows, rising.
        distance: Squared L2 to the nearest other row; nan in a pool of one.
        repeats: Rows nearer than the threshold.
        leader: The row's own id if it leads its near-duplicates, the lowest near-duplicate's id
            if it does not, `NO_LEADER` if it has none.
        published: Rows that repeat a set already published, with the uuid of what they repeat.
        uuid_of: Row id to uuid.
    """

    row_ids: np.ndarray[Any, Any]
    distance: np.ndarray[Any, Any]
    repeats: np.ndarray[Any, Any]
    leader: np.ndarray[Any, Any]
    published: Mapping[int, str]
    uuid_of: Callable[[int], str]

    def at(self, row_id: int) -> int | None:
        """A row's place in the table, if it is in the pool."""
        place = int(self.row_ids.searchsorted(row_id))
        return place if place < len(self.row_ids) and self.row_ids[place] == row_id else None

    def columns(self, row_id: int) -> dict[str, Any]:
        """A row's published columns; none if it is not in the pool."""
        place = self.at(row_id)
        if place is None:
            return {}
        distance, leader = float(self.distance[place]), int(self.leader[place])
        similar = None if leader == NO_LEADER else self.uuid_of(leader)
        return {
            "min_neighbor_distance": None if distance != distance else distance,
            "repeat_count": int(self.repeats[place]),
            "min_similar_uuid": self.published.get(row_id, similar),
        }
