"""Labels: what one judge, with its settings, says about the rows of one journal.

Each judge's fingerprint has a file, beside the journal, so a changed judge labels again and no
other judge does. Labels are committed in the judge's batches; a label is never changed.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from magpie_hub.store.sqlite import Database

FORMAT = 1
"""Version of the file's layout."""

REMEMBERED = 2_000
"""Parsed labels kept in memory: there are few different ones, and parsing takes longest."""

_SCHEMA = """
CREATE TABLE labels (row_id INTEGER PRIMARY KEY, failure TEXT, label TEXT NOT NULL);
"""


_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Label:
    """What a judge says about one row.

    Attributes:
        row_id: The row.
        values: Values by column, plain data (str, float, int, lists of them, None).
        failure: Why there are no values: a short name such as "too_long" or "unparsable", with
            detail after a colon if that helps; None when there are values.
    """

    row_id: int
    values: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    failure: str | None = None


class Labels(Database):
    """An open file of labels.

    Args:
        path: The file; created with its folder, unless `readonly`.
        readonly: Open an existing file for reading.

    Raises:
        OutputError: The folder cannot be made or written.
        JournalError: The file holds no labels of this layout, or is damaged.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        super().__init__(path, _SCHEMA, FORMAT, readonly=readonly)

    def put(self, labels: Sequence[Label]) -> None:
        """Commits labels, all or none; a row that has a label keeps it.

        Raises:
            JournalError: They cannot be written.
        """
        rows = [
            (label.row_id, label.failure, json.dumps(dict(label.values), ensure_ascii=False))
            for label in labels
        ]
        with self._guard():
            self._db.execute("BEGIN")
            try:
                self._db.executemany("INSERT OR IGNORE INTO labels VALUES (?, ?, ?)", rows)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def get(self, row_id: int) -> Label | None:
        """A row's label, if it has one."""
        with self._guard():
            found = self._db.execute(
                "SELECT row_id, failure, label FROM labels WHERE row_id = ?", (row_id,)
            ).fetchone()
        return None if found is None else _label(found)

    def missing(self, row_ids: Iterable[int]) -> list[int]:
        """The rows that have no label yet, in the order given."""
        with self._guard():
            known = {row_id for (row_id,) in self._db.execute("SELECT row_id FROM labels")}
        return [row_id for row_id in row_ids if row_id not in known]

    def all(self, first: int = 0, end: int | None = None) -> Iterator[Label]:
        """Every label of the rows from `first` on, by row id.

        Args:
            first: First row id.
            end: Row id to stop before; None goes on to the last.
        """
        query = "SELECT row_id, failure, label FROM labels WHERE row_id >= ?"
        bounds = (first,) if end is None else (first, end)
        query += " ORDER BY row_id" if end is None else " AND row_id < ? ORDER BY row_id"
        with self._guard():
            yield from map(_label, self._db.execute(query, bounds))

    def __len__(self) -> int:
        with self._guard():
            (count,) = self._db.execute("SELECT COUNT(*) FROM labels").fetchone()
        return int(count)


def _label(found: tuple[int, str | None, str]) -> Label:
    row_id, failure, label = found
    return Label(row_id, _values(label), failure)


@functools.lru_cache(REMEMBERED)
def _values(label: str) -> Mapping[str, Any]:
    # It is never written to, but it is a dict: merging one is ten times as fast as a proxy.
    values: dict[str, Any] = json.loads(label)
    return values
