"""A segment: what one save adds to a checkpoint. A gzipped SQLite file: gunzip it to look inside.

It has the words of the journal's files, with the name of the file before each row, and `about`:
which journal and tick it is of. What gates say of the words is found again from these. Two runners
may draw different words for one row, so what rests on words says on which: `basis` is the hash of
the turn that a later turn follows on, or that a label is of. It is merged with those words alone.

The functions work on a connection to which files are attached: `segment`; a file of the journal as
`source` (to copy from) or `journal` (to merge into); and `first`, its first turns, where these are
in another file. The connection's own table `saved` holds the rowids of the journal's rows that the
state holds, `fresh` those that it lacks, `taken` those that go into the segment being made.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from magpie_hub.store.journal import FIRST

FORMAT = "2"
"""Version of the layout."""

LEVEL = 3
"""Of compression."""

LARGEST = 2**30
"""Bytes that a segment unpacks to at most; one of 5,000 long rows has a fifth of that."""

_FILE = re.compile(r"first\.db|later-[\w-]+\.db|labels/\w[\w.-]*\.db", re.ASCII)
"""Names of a journal's files, as paths in its folder. Embeddings, locks and partial files are not
kept."""

_TEXT, _TEXT_OR_NULL = ("text",), ("text", "null")
_NUMBER, _BYTES = ("integer",), ("blob",)
_KINDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "meta": {"file": _TEXT, "key": _TEXT, "value": _TEXT},
    "sessions": {"file": _TEXT, "id": _NUMBER, "started": _TEXT, "info": _TEXT},
    "labels": {"file": _TEXT, "row_id": _NUMBER, "failure": _TEXT_OR_NULL, "label": _TEXT},
    "turns": {
        "file": _TEXT,
        "row_id": _NUMBER,
        "turn": _NUMBER,
        "session": _NUMBER,
        "instruction": _TEXT,
        "response": _TEXT_OR_NULL,
        "instruction_finish": _TEXT,
        "response_finish": _TEXT_OR_NULL,
        "instruction_ids": _BYTES,
        "response_ids": ("blob", "null"),
        "instruction_tokens": _NUMBER,
        "response_tokens": ("integer", "null"),
    },
}
"""Kinds of the values in each table, as SQLite calls them: its columns take any."""

_JSON = (("meta", "value"), ("sessions", "info"), ("labels", "label"))

_OWN = """
CREATE TABLE saved (file TEXT, id INTEGER, PRIMARY KEY (file, id)) WITHOUT ROWID;
CREATE TABLE fresh (file TEXT, id INTEGER, basis BLOB, PRIMARY KEY (file, id)) WITHOUT ROWID;
CREATE TABLE taken (file TEXT, id INTEGER, basis BLOB, PRIMARY KEY (file, id)) WITHOUT ROWID;
CREATE TABLE accepted (id INTEGER PRIMARY KEY, gone INTEGER);
CREATE TABLE moved (there INTEGER PRIMARY KEY, here INTEGER);
"""

_LAYOUT = """
PRAGMA segment.journal_mode = OFF;
PRAGMA segment.synchronous = OFF;
BEGIN;
CREATE TABLE segment.about (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE segment.meta (
    file TEXT, key TEXT, value TEXT, PRIMARY KEY (file, key)) WITHOUT ROWID;
CREATE TABLE segment.sessions (
    file TEXT, id INTEGER, started TEXT, info TEXT, PRIMARY KEY (file, id)) WITHOUT ROWID;
CREATE TABLE segment.labels (file TEXT, basis BLOB, row_id INTEGER, failure TEXT, label TEXT);
COMMIT;
"""


def files_in(folder: Path) -> list[str]:
    """Names of the files that are there; none while there are no first turns."""
    if not (folder / FIRST).exists():
        return []
    found = [*folder.glob("*.db"), *folder.glob("labels/*.db")]
    names = (path.relative_to(folder).as_posix() for path in found)
    return in_order(name for name in names if is_kept(name))


def in_order(names: Iterable[str]) -> list[str]:
    """Sorts names so that what rests on another file comes after it."""
    return sorted(names, key=lambda name: (holds_labels(name), name != FIRST, name))


def is_kept(name: str) -> bool:
    """Whether this is a name of such a file; one that leads out of the folder is not."""
    return _FILE.fullmatch(name) is not None


def holds_labels(name: str) -> bool:
    """Whether the file holds labels, and not turns."""
    return name.startswith("labels/")


def open_in_memory() -> sqlite3.Connection:
    """A connection in memory, as the functions here need it; one thread uses it at a time."""
    db = sqlite3.connect(":memory:", uri=True, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA busy_timeout = 10000")
    db.create_function("words", 2, _words, deterministic=True)
    db.executescript(_OWN)
    return db


@contextmanager
def attached(db: sqlite3.Connection, mode: str, **paths: Path | None) -> Iterator[None]:
    """Attaches files by the names of their keywords, outside a transaction.

    Args:
        db: The connection.
        mode: "ro", "rw", or "rwc" to make them.
        paths: The files; None is left out.
    """
    with contextlib.ExitStack() as stack:
        for schema, path in paths.items():
            if path is not None:
                db.execute(f"ATTACH ? AS {schema}", (f"{path.absolute().as_uri()}?mode={mode}",))
                stack.callback(db.execute, f"DETACH {schema}")
        yield


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def lay_out(db: sqlite3.Connection, about: Mapping[str, str]) -> None:
    """Makes the tables of a new segment."""
    db.executescript(_LAYOUT)
    db.executemany("INSERT INTO segment.about VALUES (?, ?)", about.items())


def pack(path: Path) -> bytes:
    """The bytes of a segment that is made."""
    return gzip.compress(path.read_bytes(), compresslevel=LEVEL, mtime=0)


def unpack_segment(data: bytes, path: Path) -> None:
    """Writes a segment's file.

    Raises:
        ValueError: The bytes are torn, or no segment's.
    """
    unzip = zlib.decompressobj(wbits=31)
    try:
        content = unzip.decompress(data, LARGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if unzip.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {LARGEST:,} bytes")
    if not unzip.eof or unzip.unused_data:
        raise ValueError("its end is missing, or more follows")
    path.write_bytes(content)


def files_of(db: sqlite3.Connection, about: Mapping[str, str]) -> list[str]:
    """Names of the files that a segment has something of, in the order in which to merge them.

    Raises:
        ValueError: The segment is not of this journal and tick, or of another layout.
    """
    try:
        said = dict(db.execute("SELECT key, value FROM segment.about"))
        files = [file for (file,) in db.execute("SELECT DISTINCT file FROM segment.meta")]
        _check_kinds(db)
    except sqlite3.DatabaseError as error:
        raise ValueError(str(error)) from None
    for key, value in about.items():
        if said.get(key) != value:
            raise ValueError(f"its {key} is {said.get(key)}, not {value}")
    for file in files:
        if not isinstance(file, str) or not is_kept(file):
            raise ValueError(f"it names a file {file!r}")
    return in_order(files)


def _check_kinds(db: sqlite3.Connection) -> None:
    """Looks at the kinds of all values.

    Raises:
        ValueError: One is of another kind than ours.
        sqlite3.DatabaseError: A table or a column is missing.
    """
    tables = {name for (name,) in db.execute("SELECT name FROM segment.sqlite_master")}
    for table, columns in _KINDS.items():
        if table == "turns" and table not in tables:
            continue  # A segment of labels alone.
        for column, kinds in columns.items():
            known = ", ".join(f"'{kind}'" for kind in kinds)
            if db.execute(
                f"SELECT 1 FROM segment.{table} WHERE typeof({column}) NOT IN ({known})"
            ).fetchone():
                raise ValueError(f"{table}.{column} holds something else than {kinds[0]}")
    for table, column in _JSON:
        if db.execute(f"SELECT 1 FROM segment.{table} WHERE NOT json_valid({column})").fetchone():
            raise ValueError(f"{table}.{column} holds something else than JSON")


def meta_of(db: sqlite3.Connection, file: str) -> dict[str, str]:
    """A file's facts."""
    return dict(db.execute("SELECT key, value FROM segment.meta WHERE file = ?", (file,)))


def rests_on(file: str, schema: str, what: str = "words(p.instruction, p.response)") -> str:
    """SQL for something of the turn that a row `s` of a file rests on; NULL if it is not there."""

    def at(schema: str, turn: str) -> str:
        return (
            f"(SELECT {what} FROM {schema}.turns AS p "
            f"WHERE p.row_id = s.row_id AND p.turn = {turn})"
        )

    if holds_labels(file):
        return at("first", "1")
    if file == FIRST:
        return "NULL"
    return f"COALESCE({at(schema, 's.turn - 1')}, {at('first', 's.turn - 1')})"


def _words(instruction: str, response: str | None) -> bytes:
    said = json.dumps([instruction, response]).encode()
    return hashlib.blake2b(said, digest_size=8).digest()
