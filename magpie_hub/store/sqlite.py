"""One SQLite file in write-ahead mode: the base of the journal and the labels.

Commits survive the process that made them. Any number of readers can read while one writer writes.
No reader sees an incomplete layout. Errors are the package's own, in one line.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from magpie_hub.errors import JournalError, OutputError
from magpie_hub.files import new_file

IN_MEMORY = Path(":memory:")
"""Path of a database in memory, which ends with the process."""

_META = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"


class Database:
    """An open file; its subclass defines what it holds.

    Args:
        path: The file; created with its folder, unless `readonly`.
        schema: SQL that makes its tables.
        layout: Version of the schema.
        readonly: Open an existing file for reading.

    Raises:
        OutputError: The folder cannot be made or written.
        JournalError: The file has another layout, or is damaged.
    """

    def __init__(self, path: Path, schema: str, layout: int, *, readonly: bool = False) -> None:
        self.path = path
        self._readonly = readonly
        try:
            if readonly:
                # Write-ahead readers need the shared-memory file, so the mode stays read-write
                # where it can; `query_only` keeps the promise.
                self._db = _connect(path)
                self._db.execute("PRAGMA query_only = 1")
            elif path == IN_MEMORY:
                self._db = _connect(path)
                _lay_out(self._db, schema, layout)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                _create(path, schema, layout)
                self._db = _connect(path)
        except (OSError, sqlite3.OperationalError) as error:
            raise OutputError(f"{path}: the journal cannot be opened: {error}") from error
        with self._guard(opening=True):
            self._db.execute("PRAGMA busy_timeout = 10000")
            if not readonly:
                # NORMAL: a killed process loses nothing that was committed; a power cut may lose
                # the last commits but never the file.
                self._db.execute("PRAGMA synchronous = NORMAL")
            version = self.meta("format")
            if version == layout:
                self._mend(schema)
        if version != layout:
            raise JournalError(f"{path}: the journal has layout {version}, not {layout}")

    def _mend(self, schema: str) -> None:
        """Creates missing indexes; a file that lacks a table or a column is refused."""
        wanted, found = _layout(schema), _said(self._db)
        for name, (kind, sql) in wanted.items():
            if kind == "table" and found.get(name) != (kind, sql):
                raise JournalError(
                    f"{self.path}: the table {name} is missing or has been changed; bring back a "
                    "copy of the file, or remove it to generate its rows again"
                )
        lacking = {name: sql for name, (_, sql) in wanted.items() if name not in found}
        changed = [name for name in wanted if name in found and found[name] != wanted[name]]
        if not lacking and not changed:
            return
        self._db.execute("PRAGMA query_only = 0")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for name in changed:
                self._db.execute(f"DROP INDEX {name}")
                lacking[name] = wanted[name][1]
            for sql in lacking.values():
                self._db.execute(sql.replace(" INDEX ", " INDEX IF NOT EXISTS ", 1))
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            named = ", ".join(lacking)
            raise JournalError(
                f"{self.path}: its index {named} is missing and cannot be rebuilt ({error}); bring "
                "back a copy of the file, or remove it to generate its rows again"
            ) from error
        finally:
            self._db.execute(f"PRAGMA query_only = {int(self._readonly)}")

    @contextlib.contextmanager
    def _guard(self, opening: bool = False) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            text = str(error)
            if opening and ("readonly" in text or "unable to open" in text):
                raise OutputError(
                    f"{self.path}: the journal cannot be written ({text}); "
                    "set MAGPIE_HOME to a folder that can"
                ) from error
            if "full" in text:
                text = "the disk is full; what was committed is kept, free some space and run again"
            raise JournalError(f"{self.path}: {text}") from error

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def meta(self, key: str) -> Any:
        """A fact about the whole file, as plain data; None if it was never set."""
        with self._guard():
            found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def set_meta(self, key: str, value: Any) -> None:
        """Records a fact about the whole file (plain data)."""
        text = json.dumps(value, ensure_ascii=False)
        with self._guard():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))


def _connect(path: Path) -> sqlite3.Connection:
    # SQLite serialises a connection's calls itself; a judge may read from a thread of its own.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _create(path: Path, schema: str, layout: int) -> None:
    if path.exists():
        return
    with (
        new_file(path) as partial,
        contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as db,
    ):
        db.execute("PRAGMA journal_mode = WAL")
        _lay_out(db, schema, layout)


@functools.cache
def _layout(schema: str) -> dict[str, tuple[str, str]]:
    """The tables and indexes of a schema: name to kind and SQL."""
    with contextlib.closing(sqlite3.connect(IN_MEMORY)) as db:
        db.executescript(_META + schema)
        return _said(db)


def _said(db: sqlite3.Connection) -> dict[str, tuple[str, str]]:
    """The tables and indexes of a file: name to kind and SQL, without those of SQLite itself."""
    rows = db.execute("SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: (kind, sql) for name, kind, sql in rows}


def _lay_out(db: sqlite3.Connection, schema: str, layout: int) -> None:
    db.executescript(_META + schema)
    db.execute("INSERT INTO meta VALUES ('format', ?)", (str(layout),))
