"""The labels of all judges of a recipe, joined by row.

Most labels are of one row alone and come from its judge's file. How near a row's neighbours are
depends on the whole pool, so those columns come from a table that is computed for a pool.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from magpie_hub.dedup.index import NO_LEADER, NeighborTable
from magpie_hub.gates.colon import ends_with_colon
from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.store.labels import Labels
from magpie_hub.store.rows import RowCursor, RowStatus, RowStore

UNSCORED = "unscored"
"""Why a row with a base answer has no base reward: the answer is over the reward model's context,
or its reward is no number."""


class JoinedLabels:
    """Open labels of all judges.

    Args:
        stores: Labels by judge; None for a judge that has labelled nothing yet.
        neighbors: The pool's table; None where no recipe asks for it.
    """

    def __init__(
        self, stores: Mapping[str, Labels | None], neighbors: NeighborTable | None = None
    ) -> None:
        self._stores = stores
        self._neighbors = neighbors

    def reader(self, row_store: RowStore, *, texts: bool = False) -> Reader:
        """Reads what selection needs, for rows in rising order.

        Args:
            row_store: Where the rows' texts are.
            texts: Whether the texts are looked at too, which takes longer.
        """
        return Reader(row_store, self._stores, self._neighbors, texts=texts)

    def columns(self, row_ids: range) -> list[dict[str, Any]]:
        """Everything that is published of the labels of neighbouring rows, with what failed.

        Args:
            row_ids: The rows, one after the other.

        Returns:
            Values by column of each row; a column without a value is left out.
        """
        found: list[dict[str, Any]] = [{} for _ in row_ids]
        failures: list[list[dict[str, str]]] = [[] for _ in row_ids]
        for judge, store in self._stores.items():
            for label in store.all(row_ids.start, row_ids.stop) if store is not None else ():
                place = label.row_id - row_ids.start
                found[place] |= label.values
                if label.failure is not None:
                    failures[place].append({"judge": judge, "reason": label.failure})
        for row_id, columns, failed in zip(row_ids, found, failures, strict=True):
            if self._neighbors is not None:
                columns |= self._neighbors.columns(row_id)
            columns |= difference(columns)
            if _unscored(columns):
                failed.append({"judge": "base", "reason": UNSCORED})
            if self._stores:
                columns["judge_failures"] = failed
        return found


NONE = JoinedLabels({})
"""Those of a recipe without judges."""


class Reader:
    """Joins a row's labels; see `JoinedLabels.reader`."""

    def __init__(
        self,
        row_store: RowStore,
        stores: Mapping[str, Labels | None],
        neighbors: NeighborTable | None,
        *,
        texts: bool = False,
    ) -> None:
        self._row_store = row_store if texts else None
        self._streams = {
            judge: RowCursor(store.all(row_store.start) if store is not None else iter(()))
            for judge, store in stores.items()
        }
        self._neighbors = neighbors

    def take(self, status: RowStatus) -> LabeledRow | None:
        """A row's labels, of rows that come in rising order; None if one is missing."""
        row_id = status.row_id
        values: dict[str, Any] = {}
        failures: dict[str, str] = {}
        for judge, stream in self._streams.items():
            taken = stream.take(row_id)
            if not taken:
                return None
            label = taken[0]
            values |= label.values
            if label.failure is not None:
                failures[judge] = label.failure
        leader = published = None
        if self._neighbors is not None:
            place = self._neighbors.at(row_id)
            if place is None:
                return None
            found = int(self._neighbors.leader[place])
            leader = None if found == NO_LEADER else found
            published = self._neighbors.published.get(row_id)
        record = self._row_store.get(row_id, 1) if self._row_store is not None else None
        return LabeledRow(
            row_id=row_id,
            labels=values | difference(values),
            failures=failures,
            response_chars=status.response_chars,
            instruction_ends_with_colon=record is not None and ends_with_colon(record.instruction),
            leader=leader,
            published=published,
        )


def difference(values: Mapping[str, Any]) -> dict[str, float]:
    """The reward difference (section 3.1 of arXiv 2406.08464v2), where both rewards are there."""
    ours, base = values.get("instruct_reward"), values.get("base_reward")
    return {} if ours is None or base is None else {"reward_difference": ours - base}


def _unscored(values: Mapping[str, Any]) -> bool:
    """Whether a base answer has no reward although the row's own has one."""
    scored = values.get("instruct_reward") is not None
    answered = values.get("base_output") is not None
    return answered and scored and values.get("base_reward") is None


@contextmanager
def open_labels(paths: Mapping[str, Path]) -> Iterator[dict[str, Labels | None]]:
    """Opens the label files that are there, for reading."""
    with contextlib.ExitStack() as stack:
        yield {
            judge: stack.enter_context(Labels(path, readonly=True)) if path.exists() else None
            for judge, path in paths.items()
        }
