"""The journal: the append-only, crash-safe record of finished turns of one fingerprint.

One SQLite file, in write-ahead mode. Turns are committed as they finish, many in one transaction;
killing the process loses what was not committed, and a turn cannot be there twice. Any number of
readers may look while one writer writes.

A turn's text is final: `put_many` refuses to change it. A changed recipe has another fingerprint
and so another file. There is one exception: a turn without a response may get one later.

The gates' verdicts are stored beside the text, once for each list of gates. A journal is opened for
one list, and shows only that list's verdicts; a turn without a verdict of the list is `OPEN`. So
another list of gates generates no text again.

SQLite's rowids only rise, also when a response is added: text that is committed after a reader
looked at the file has a rowid that did not exist then.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from magpie_hub.engines.base import FinishReason
from magpie_hub.errors import JournalError
from magpie_hub.store.lock import locked
from magpie_hub.store.sqlite import IN_MEMORY, Database

FORMAT = 3
"""Version of the file's layout."""

OPEN = "open"
"""The reason of a turn that lacks its response, or its verdict by this list of gates."""

FIRST = "first.db"
"""File name of the journal of first turns."""

_SCHEMA = """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL DEFAULT (datetime('now')), info TEXT NOT NULL);
CREATE TABLE turns (
    row_id INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    session INTEGER NOT NULL,
    instruction TEXT NOT NULL,
    response TEXT,
    instruction_finish TEXT NOT NULL,
    response_finish TEXT,
    instruction_ids BLOB NOT NULL,
    response_ids BLOB,
    instruction_tokens INTEGER NOT NULL,
    response_tokens INTEGER);
CREATE UNIQUE INDEX turns_once ON turns (row_id, turn);
CREATE TABLE gates (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
-- All that resuming, counting and choosing read, so that none of them touches the texts.
CREATE TABLE verdicts (
    gates INTEGER NOT NULL,
    row_id INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    reason TEXT,
    digest BLOB,
    response_chars INTEGER NOT NULL,
    PRIMARY KEY (gates, row_id, turn)) WITHOUT ROWID;
CREATE INDEX verdicts_digest ON verdicts (gates, digest, row_id) WHERE digest IS NOT NULL;
"""


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One finished turn of a row: passed, or rejected with a reason.

    Attributes:
        row_id: Global index of the row.
        turn: 1 for the first.
        reason: Why the row is rejected here; None if the turn passed every gate; `OPEN` if that is
            not known.
        digest: Hash of the instruction, if this turn takes part in the search for duplicates.
        instruction: The user's words.
        response: The assistant's words; None if none was generated.
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


class TurnText(NamedTuple):
    """The text of a turn, without its token ids: what is published, and what judges read.

    Attributes:
        row_id: Global index of the row.
        instruction: The user's text. Any text at all: empty, 100,000 characters, lone surrogates,
            text that addresses the judge.
        response: The assistant's text; None when none was generated.
        turn: 1 for the first.
        response_finish: Why the response ended.
        instruction_tokens: How many tokens the instruction has.
        response_tokens: How many tokens the response has.
    """

    row_id: int
    instruction: str
    response: str | None = None
    turn: int = 1
    response_finish: FinishReason | None = None
    instruction_tokens: int = 0
    response_tokens: int | None = None


class TurnIndex(NamedTuple):
    """What is known about a turn without reading its text.

    `holder` is the lowest row with the same digest, for a turn that has one.
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
        path: The file; created with its folder, unless `readonly`.
        gates: The name of the list of gates whose verdicts are written and read.
        readonly: Open an existing file for reading.

    Raises:
        OutputError: The folder cannot be made or written.
        JournalError: The file is not a journal of this layout, or is damaged.
    """

    def __init__(self, path: Path, gates: str = "", *, readonly: bool = False) -> None:
        super().__init__(path, _SCHEMA, FORMAT, readonly=readonly)
        self._session = 0
        self._name = gates
        self._known = 0
        if not readonly or path == IN_MEMORY:
            with self._guard():
                self._db.execute("INSERT OR IGNORE INTO gates (name) VALUES (?)", (gates,))

    @property
    def _gates(self) -> int:
        """The number of the list of gates in this file; 0 if it has not been written yet."""
        if not self._known:
            with self._guard():
                found = self._db.execute(
                    "SELECT id FROM gates WHERE name = ?", (self._name,)
                ).fetchone()
            self._known = found[0] if found else 0
        return self._known

    def begin_session(self, info: dict[str, Any]) -> int:
        """Records which engine generates the turns that follow."""
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
        """Commits one finished turn; see `put_many`."""
        self.put_many([record])

    def put_many(self, records: Iterable[TurnRecord], answered: Iterable[TurnRecord] = ()) -> None:
        """Commits finished turns in one transaction: all of them or none.

        Args:
            records: Turns that the journal does not have.
            answered: Turns that the journal has without a response or a verdict, now with both.

        Raises:
            JournalError: A turn exists already, one of `answered` has another text in the journal,
                or the turns cannot be written.
        """
        records = list(records)
        with self._transaction():
            self._db.executemany(_PUT, map(self._values, records))
            for record in answered:
                self._answer(record)
                records.append(record)
            self._db.executemany(_JUDGE, map(self._verdict, records))

    def _answer(self, record: TurnRecord) -> None:
        key = (record.row_id, record.turn)
        if self._db.execute(_SAME, (*key, record.instruction, record.response)).fetchone() is None:
            raise JournalError(f"{self.path}: row {record.row_id} has other words already")
        if record.response is not None:
            self._db.execute(_ANSWER, (*self._values(record), *key))

    def judge(self, records: Iterable[TurnRecord]) -> None:
        """Commits verdicts of existing turns, all or none."""
        with self._transaction():
            self._db.executemany(_JUDGE, map(self._verdict, records))

    def unjudged(self) -> array[int]:
        """Where the turns are whose verdict can be found without generating; for `at`."""
        with self._guard():
            found = [
                *self._db.execute(_UNASKED, (self._gates,)),
                *self._db.execute(_ANSWERED, (self._gates, OPEN)),
            ]
            return array("q", (place for (place,) in found))

    def at(self, places: Sequence[int]) -> list[TurnRecord]:
        """The turns at some places; a deferred one shows that, whatever list of gates is used."""
        turn_index = ", ".join("?" * len(places))
        with self._guard():
            found = self._db.execute(
                f"SELECT t.row_id, t.turn, COALESCE((SELECT o.reason FROM verdicts AS o "
                "WHERE o.gates IN (SELECT id FROM gates) AND o.row_id = t.row_id "
                "AND o.turn = t.turn AND o.reason >= 'instruction.quality:' "
                f"AND o.reason < 'instruction.quality;' LIMIT 1), '{OPEN}'), NULL, "
                f"{_SAID} FROM turns AS t WHERE t.rowid IN ({turn_index})",
                tuple(places),
            ).fetchall()
        return [_record(fields) for fields in found]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guard():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                # A full disk has ended it already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _verdict(self, record: TurnRecord) -> tuple[Any, ...]:
        chars = len(record.response or "")
        return (self._gates, record.row_id, record.turn, record.reason, record.digest, chars)

    def _values(self, record: TurnRecord) -> tuple[Any, ...]:
        return (
            record.row_id,
            record.turn,
            self._session,
            record.instruction,
            record.response,
            record.instruction_finish,
            record.response_finish,
            _pack(record.instruction_ids),
            None if record.response_ids is None else _pack(record.response_ids),
            len(record.instruction_ids),
            None if record.response_ids is None else len(record.response_ids),
        )

    def get(self, row_id: int, turn: int) -> TurnRecord | None:
        """The record of a turn, if it is finished."""
        with self._guard():
            found = self._db.execute(_GET, (self._gates, row_id, turn)).fetchone()
        return None if found is None else _record(found)

    def texts(self, first: int, end: int) -> Iterator[TurnText]:
        """Texts of all turns of the rows from `first` on and below `end`, by row id and turn."""
        with self._guard():
            yield from map(TurnText._make, self._db.execute(_TEXTS, (first, end)))

    def turn_index(self, first: int = 0, since: int = 0) -> Iterator[TurnIndex]:
        """The index of all turns of the rows from `first` on, by row id and turn.

        Args:
            first: First row id.
            since: Row id from which on holders are looked for.
        """
        with self._guard():
            yield from map(TurnIndex._make, self._db.execute(_INDEX, (since, self._gates, first)))

    def size(self, start: int = 0) -> tuple[int, int]:
        """How many turns there are of the rows from `start` on, and how many tokens they were."""
        with self._guard():
            turns, tokens = self._db.execute(
                "SELECT COUNT(*), TOTAL(instruction_tokens + COALESCE(response_tokens, 0)) "
                "FROM turns WHERE row_id >= ?",
                (start,),
            ).fetchone()
        return turns, int(tokens)

    def last(self) -> int:
        """The highest row id that has been judged; -1 in an empty journal."""
        with self._guard():
            (highest,) = self._db.execute(_LAST, (self._gates,)).fetchone()
        return -1 if highest is None else int(highest)

    def lowest_with(self, digest: bytes, since: int = 0) -> int | None:
        """The lowest row id, from `since` on, whose instruction has this digest."""
        with self._guard():
            found = self._db.execute(_LOWEST, (self._gates, digest, since)).fetchone()
        return None if found is None else found[0]

    def counts(self, turn: int) -> dict[str, int]:
        """How many rows have finished a turn, by reason; "" counts those that passed it."""
        with self._guard():
            return {
                reason or "": count
                for reason, count in self._db.execute(_COUNTS, (self._gates, turn))
            }


_TEXTS = f"""
SELECT {", ".join(TurnText._fields)} FROM turns INDEXED BY turns_once
WHERE row_id >= ? AND row_id < ? ORDER BY row_id, turn
"""

# One statement, since a look-up a row from Python takes several times as long.
_INDEX = """
SELECT row_id, turn, reason, digest,
    CASE WHEN digest IS NOT NULL
        THEN (SELECT MIN(row_id) FROM verdicts AS other INDEXED BY verdicts_digest
            WHERE other.gates = verdicts.gates AND other.digest = verdicts.digest
            AND other.row_id >= ?) END,
    response_chars
FROM verdicts WHERE gates = ? AND row_id >= ? ORDER BY row_id, turn
"""

_LAST = "SELECT MAX(row_id) FROM verdicts WHERE gates = ?"
_LOWEST = (
    "SELECT MIN(row_id) FROM verdicts INDEXED BY verdicts_digest "
    "WHERE gates = ? AND digest = ? AND row_id >= ?"
)
_COUNTS = "SELECT reason, COUNT(*) FROM verdicts WHERE gates = ? AND turn = ? GROUP BY reason"
_UNASKED = """
SELECT t.rowid FROM turns AS t INDEXED BY turns_once WHERE NOT EXISTS (
    SELECT 1 FROM verdicts AS v WHERE v.gates = ?1 AND v.row_id = t.row_id AND v.turn = t.turn)
"""

# Open under these gates, and answered under others since.
_ANSWERED = """
SELECT t.rowid FROM verdicts AS v CROSS JOIN turns AS t INDEXED BY turns_once
    ON t.row_id = v.row_id AND t.turn = v.turn
WHERE v.gates = ? AND v.reason = ? AND t.response IS NOT NULL
"""

_JUDGE = "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?)"

_COLUMNS = (
    "row_id, turn, session, instruction, response, instruction_finish, response_finish, "
    "instruction_ids, response_ids, instruction_tokens, response_tokens"
)

_PUT = f"INSERT INTO turns VALUES ({', '.join('?' * (_COLUMNS.count(',') + 1))})"

# The highest row's successor must not get its rowid, as it would by a deletion and an insertion.
_ANSWER = f"""
UPDATE turns SET (rowid, {_COLUMNS}) =
    ((SELECT MAX(rowid) + 1 FROM turns), {", ".join("?" * (_COLUMNS.count(",") + 1))})
WHERE row_id = ? AND turn = ? AND response IS NULL
"""

_SAME = """
SELECT 1 FROM turns WHERE row_id = ?1 AND turn = ?2 AND instruction = ?3
AND (response IS NULL OR ?4 IS NULL OR response = ?4)
"""

_SAID = (
    "t.instruction, t.response, t.instruction_finish, t.response_finish, t.instruction_ids, "
    "t.response_ids"
)

_GET = f"""
SELECT t.row_id, t.turn, CASE WHEN v.turn IS NULL THEN '{OPEN}' ELSE v.reason END, v.digest, {_SAID}
FROM turns AS t LEFT JOIN verdicts AS v
    ON v.gates = ? AND v.row_id = t.row_id AND v.turn = t.turn
WHERE t.row_id = ? AND t.turn = ?
"""


@contextmanager
def writer_lock(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Makes this process the only writer of a folder of journals.

    Args:
        folder: Created if missing.
        say: Takes a line if another process must be waited for.

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
    """Three bytes per id, the lowest first: no vocabulary has close to 2**24 tokens."""
    packed = array("I", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    wide = packed.tobytes()
    if any(wide[3::4]):
        raise ValueError(f"token id {max(ids)} is over 2**24")
    narrow = bytearray(3 * len(ids))
    for byte in range(3):
        narrow[byte::3] = wide[byte::4]
    return bytes(narrow)


def _unpack(blob: bytes) -> tuple[int, ...]:
    wide = bytearray(len(blob) // 3 * 4)
    for byte in range(3):
        wide[byte::4] = blob[byte::3]
    packed = array("I", bytes(wide))
    if sys.byteorder == "big":
        packed.byteswap()
    return tuple(packed)
