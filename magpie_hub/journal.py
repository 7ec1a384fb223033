"""The journal: the append-only, crash-safe record of finished turns of one fingerprint.

One SQLite file, in write-ahead mode. A turn is committed the moment it is finished; killing the
process loses what was in flight and nothing else, and a turn cannot be there twice. Any number of
readers may look while one writer writes.

A turn's record is final: `put` refuses to change one. What a changed recipe would draw belongs to
another fingerprint and so to another file. The one exception is a turn whose response was put off
(`replace`): it may get its response later.

SQLite's rowids only rise, in `replace` too: whatever was committed since a look at the file has a
rowid that was not there then.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from magpie_hub.database import Database
from magpie_hub.engine.base import FinishReason
from magpie_hub.errors import JournalError
from magpie_hub.lock import locked

FORMAT = 1
"""Version of the file's layout."""

FIRST = "first.db"
"""File name of the journal of first turns."""

_SCHEMA = """
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


class Words(NamedTuple):
    """What is published of a turn: its words, and how many tokens they were.

    The token ids themselves, half of what a record takes to read, are left where they are.
    """

    row_id: int
    turn: int
    instruction: str
    response: str | None
    response_finish: FinishReason | None
    instruction_tokens: int
    response_tokens: int | None


class Mark(NamedTuple):
    """What the indexes know of a turn without reading its text.

    `holder` is the lowest row with the same digest, for a turn that passed and has one.
    """

    row_id: int
    turn: int
    reason: str | None
    digest: bytes | None
    holder: int | None
    response_chars: int


class Journal(Database):
    """An open journal file.

    Args:
        path: The file; made, with its folder, unless `readonly`.
        readonly: Open an existing file for reading.

    Raises:
        OutputError: The folder cannot be made or written.
        JournalError: The file is not a journal of this layout, or is damaged.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        super().__init__(path, _SCHEMA, FORMAT, readonly=readonly)
        self._session = 0

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
        values = self._values(record)
        with self._guard():
            self._db.execute(f"INSERT INTO turns VALUES ({', '.join('?' * len(values))})", values)

    def replace(self, record: TurnRecord, reason: str) -> None:
        """Commits a turn in the place of its record without a response, in one step.

        Args:
            record: The turn as it is now.
            reason: What the reason of the record that is there begins with.

        Raises:
            JournalError: No such record is there, or it cannot be written.
        """
        values = self._values(record)
        with self._guard():
            gone = self._db.execute(
                _REPLACE, (*values, record.row_id, record.turn, len(reason), reason)
            ).rowcount
        if not gone:
            raise JournalError(f"{self.path}: row {record.row_id} has its response already")

    def _values(self, record: TurnRecord) -> tuple[Any, ...]:
        return (
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
        )

    def get(self, row_id: int, turn: int) -> TurnRecord | None:
        """The record of a turn, if it is finished."""
        with self._guard():
            found = self._db.execute(
                f"SELECT {_FIELDS} FROM turns WHERE row_id = ? AND turn = ?", (row_id, turn)
            ).fetchone()
        return None if found is None else _record(found)

    def words(self, first: int, end: int) -> Iterator[Words]:
        """Words of all turns of the rows from `first` on to before `end`, by row id and turn."""
        with self._guard():
            yield from map(Words._make, self._db.execute(_WORDS, (first, end)))

    def marks(self, first: int = 0, since: int = 0) -> Iterator[Mark]:
        """Marks of all turns of the rows from `first` on, by row id and turn.

        Args:
            first: First row id.
            since: Row id from which on holders are looked for.
        """
        with self._guard():
            yield from map(Mark._make, self._db.execute(_MARKS, (since, first)))

    def last(self) -> int:
        """The highest row id; -1 in an empty journal."""
        with self._guard():
            (highest,) = self._db.execute("SELECT MAX(row_id) FROM turns").fetchone()
        return -1 if highest is None else int(highest)

    def lowest_with(self, digest: bytes, since: int = 0) -> int | None:
        """The lowest row id, from `since` on, whose instruction has this digest."""
        with self._guard():
            found = self._db.execute(
                "SELECT MIN(row_id) FROM turns WHERE digest = ? AND row_id >= ?", (digest, since)
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


_WORDS = f"""
SELECT {", ".join(Words._fields)} FROM turns INDEXED BY turns_once
WHERE row_id >= ? AND row_id < ? ORDER BY row_id, turn
"""

# One statement, since a look-up a row from Python takes several times as long.
_MARKS = """
SELECT row_id, turn, reason, digest,
    CASE WHEN reason IS NULL AND digest IS NOT NULL
        THEN (SELECT MIN(row_id) FROM turns AS other
            WHERE other.digest = turns.digest AND other.row_id >= ?) END,
    response_chars
FROM turns INDEXED BY turns_marks WHERE row_id >= ? ORDER BY row_id, turn
"""

_COLUMNS = (
    "row_id, turn, session, reason, digest, instruction, response, instruction_finish, "
    "response_finish, instruction_ids, response_ids, instruction_tokens, response_tokens, "
    "response_chars"
)

# The highest row's successor must not get its rowid, as it would by a deletion and an insertion.
_REPLACE = f"""
UPDATE turns SET (rowid, {_COLUMNS}) =
    ((SELECT MAX(rowid) + 1 FROM turns), {", ".join("?" * (_COLUMNS.count(",") + 1))})
WHERE row_id = ? AND turn = ? AND response IS NULL AND substr(reason, 1, ?) = ?
"""

_FIELDS = (
    "row_id, turn, reason, digest, instruction, response, instruction_finish, response_finish, "
    "instruction_ids, response_ids"
)


@contextmanager
def writer_lock(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Makes this process the one that writes a folder of journals.

    Args:
        folder: Made if missing.
        say: Told when another process has to be waited for.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    path = folder / "writer.lock"
    with locked(path, f"another process is generating these rows; waiting for it ({path})", say):
        yield


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
