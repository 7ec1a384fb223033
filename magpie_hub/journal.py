"""The journal: the append-only, crash-safe record of finished turns of one fingerprint.

One SQLite file, in write-ahead mode. A turn is committed the moment it is finished; killing the
process loses what was in flight and nothing else, and a turn cannot be there twice. Any number of
readers may look while one writer writes.

A turn's record is final: `put` refuses to change one. What a changed recipe would draw belongs to
another fingerprint and so to another file.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from magpie_hub.engine.base import FinishReason
from magpie_hub.errors import JournalError, OutputError

IN_MEMORY = Path(":memory:")
"""Path of a journal that is gone with the process."""

FORMAT = 1
"""Version of the file's layout."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL DEFAULT (datetime('now')), info TEXT NOT NULL);
CREATE TABLE turns (
    row_id INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    session INTEGER NOT NULL,
    reason TEXT,
    digest BLOB,
    instruction TEXT NOT NULL,
    response TEXT,
    instruction_finish TEXT NOT NULL,
    response_finish TEXT,
    instruction_ids BLOB NOT NULL,
    response_ids BLOB,
    instruction_tokens INTEGER NOT NULL,
    response_tokens INTEGER,
    response_chars INTEGER NOT NULL);
-- Covers what resuming, counting and choosing read, so that none of them touches the texts.
CREATE INDEX turns_marks
    ON turns (row_id, turn, reason, digest, response_chars);
CREATE UNIQUE INDEX turns_once ON turns (row_id, turn);
CREATE INDEX turns_digest ON turns (digest, row_id) WHERE digest IS NOT NULL;
"""


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One finished turn of a row: passed, or rejected with a reason.

    Attributes:
        row_id: Global index of the row.
        turn: 1 for the first.
        reason: Why the row is rejected here; None when the turn passed every gate.
        digest: Hash of the instruction, if this turn takes part in the search for duplicates.
        instruction: The user's words.
        response: The assistant's words; None when none was paid for.
        instruction_finish: Why the instruction ended.
        response_finish: Why the response ended.
        instruction_ids: The user's words as the model wrote them.
        response_ids: The assistant's words as the model wrote them.
    """

    row_id: int
    turn: int
    reason: str | None
    digest: bytes | None
    instruction: str
    response: str | None
    instruction_finish: FinishReason
    response_finish: FinishReason | None
    instruction_ids: tuple[int, ...]
    response_ids: tuple[int, ...] | None


class Mark(NamedTuple):
    """What the indexes know of a turn without reading its text.

    `holder` is the lowest row with the same digest, for a turn that passed and has one.
    """

    row_id: int
    turn: int
    reason: str | None
    holder: int | None
    response_chars: int


class Journal:
    """An open journal file.

    Args:
        path: The file; made, with its folder, unless `readonly`.
        readonly: Open an existing file for reading.

    Raises:
        OutputError: The folder cannot be made or written.
        JournalError: The file is not a journal of this layout, or is damaged.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        try:
            if readonly:
                # Write-ahead readers need the shared-memory file, so the mode stays read-write
                # where it can; `query_only` keeps the promise.
                self._db = sqlite3.connect(path, isolation_level=None)
                self._db.execute("PRAGMA query_only = 1")
            elif path == IN_MEMORY:
                self._db = sqlite3.connect(path, isolation_level=None)
                _lay_out(self._db)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                _create(path)
                self._db = sqlite3.connect(path, isolation_level=None)
        except (OSError, sqlite3.OperationalError) as error:
            raise OutputError(f"{path}: the journal cannot be opened: {error}") from error
        self._session = 0
        with self._guard(opening=True):
            self._db.execute("PRAGMA busy_timeout = 10000")
            if not readonly:
                # NORMAL: a killed process loses nothing that was committed; a power cut may lose
                # the last commits but never the file.
                self._db.execute("PRAGMA synchronous = NORMAL")
            version = self.meta("format")
        if version != FORMAT:
            raise JournalError(f"{path}: the journal has layout {version}, not {FORMAT}")

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

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def meta(self, key: str) -> Any:
        """A fact about the whole journal, as plain data; None if it was never set."""
        with self._guard():
            found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def set_meta(self, key: str, value: Any) -> None:
        """Records a fact about the whole journal (plain data)."""
        text = json.dumps(value, ensure_ascii=False)
        with self._guard():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))

    def begin_session(self, info: dict[str, Any]) -> int:
        """Records which engine the turns that follow are drawn with."""
        with self._guard():
            cursor = self._db.execute(
                "INSERT INTO sessions (info) VALUES (?)", (json.dumps(info, ensure_ascii=False),)
            )
        self._session = int(cursor.lastrowid or 0)
        return self._session

    def sessions(self) -> list[dict[str, Any]]:
        """Every session's info, in order, with `id` and `started` (UTC) added."""
        with self._guard():
            rows = self._db.execute("SELECT id, started, info FROM sessions ORDER BY id").fetchall()
        return [{**json.loads(info), "id": i, "started": started} for i, started, info in rows]

    def put(self, record: TurnRecord) -> None:
        """Commits a finished turn.

        Raises:
            JournalError: The turn is there already, or it cannot be written.
        """
        with self._guard():
            self._db.execute(
                "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.row_id,
                    record.turn,
                    self._session,
                    record.reason,
                    record.digest,
                    record.instruction,
                    record.response,
                    record.instruction_finish,
                    record.response_finish,
                    _pack(record.instruction_ids),
                    None if record.response_ids is None else _pack(record.response_ids),
                    len(record.instruction_ids),
                    None if record.response_ids is None else len(record.response_ids),
                    len(record.response or ""),
                ),
            )

    def get(self, row_id: int, turn: int) -> TurnRecord | None:
        """The record of a turn, if it is finished."""
        with self._guard():
            found = self._db.execute(
                f"SELECT {_FIELDS} FROM turns WHERE row_id = ? AND turn = ?", (row_id, turn)
            ).fetchone()
        return None if found is None else _record(found)

    def marks(self, first: int = 0) -> Iterator[Mark]:
        """Marks of all turns of the rows from `first` on, by row id and turn."""
        with self._guard():
            yield from map(
                Mark._make,
                self._db.execute(_MARKS, (first,)),
            )

    def lowest_with(self, digest: bytes) -> int | None:
        """The lowest row id whose instruction has this digest."""
        with self._guard():
            found = self._db.execute(
                "SELECT MIN(row_id) FROM turns WHERE digest = ?", (digest,)
            ).fetchone()
        return None if found is None else found[0]

    def counts(self, turn: int) -> dict[str, int]:
        """How many rows have finished a turn, by reason; "" counts those that passed it."""
        with self._guard():
            return {
                reason or "": count
                for reason, count in self._db.execute(
                    "SELECT reason, COUNT(*) FROM turns INDEXED BY turns_marks "
                    "WHERE turn = ? GROUP BY reason",
                    (turn,),
                )
            }


def _create(path: Path) -> None:
    """Makes the file, if it is not there, whole: a reader never sees half a layout."""
    if path.exists():
        return
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        _lay_out(db)
    new.rename(path)


def _lay_out(db: sqlite3.Connection) -> None:
    db.executescript(_SCHEMA)
    db.execute("INSERT INTO meta VALUES ('format', ?)", (str(FORMAT),))


# One statement, since a look-up a row from Python takes several times as long.
_MARKS = """
SELECT row_id, turn, reason,
    CASE WHEN reason IS NULL AND digest IS NOT NULL
        THEN (SELECT MIN(row_id) FROM turns AS other WHERE other.digest = turns.digest) END,
    response_chars
FROM turns INDEXED BY turns_marks WHERE row_id >= ? ORDER BY row_id, turn
"""

_FIELDS = (
    "row_id, turn, reason, digest, instruction, response, instruction_finish, response_finish, "
    "instruction_ids, response_ids"
)


def _record(fields: tuple[Any, ...]) -> TurnRecord:
    ids = [None if blob is None else _unpack(blob) for blob in fields[-2:]]
    return TurnRecord(*fields[:-2], *ids)


def _pack(ids: tuple[int, ...]) -> bytes:
    packed = array("I", ids)
    return zlib.compress(packed.tobytes(), level=1)


def _unpack(blob: bytes) -> tuple[int, ...]:
    packed = array("I")
    packed.frombytes(zlib.decompress(blob))
    return tuple(packed)
