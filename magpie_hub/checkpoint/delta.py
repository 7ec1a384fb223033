"""Rows copied from a journal's files into a segment, and merged from a segment into them.

For a connection as `magpie_hub.checkpoint.segment` describes it: a journal's file is attached as
`source` (read-only) to copy from, and as `journal` to merge into. What is there stays.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from magpie_hub.checkpoint.segment import holds_labels, rests_on
from magpie_hub.store.journal import FIRST


def find_fresh(db: sqlite3.Connection, file: str, first_row: int) -> dict[str, str]:
    """Notes which rows of `source` are not saved yet, from a row id on; returns the file's meta.

    What rests on a turn that is not there, such as a label of a turn in flight, is left for later.
    """
    # The basis is taken now: a turn may get the response that was put off before it is copied.
    db.execute(
        "INSERT INTO fresh SELECT :file, id, basis FROM "
        f"(SELECT s.rowid AS id, {rests_on(file, 'source')} AS basis "
        f"FROM source.{_table(file)} AS s WHERE s.row_id >= :first_row AND NOT EXISTS "
        "(SELECT 1 FROM saved AS k WHERE k.file = :file AND k.id = s.rowid)) "
        f"WHERE basis IS NOT NULL OR :file = '{FIRST}'",
        {"file": file, "first_row": first_row},
    )
    return dict(db.execute("SELECT key, value FROM source.meta"))


def take(db: sqlite3.Connection, file: str, most: int) -> int:
    """Moves fresh rows of a file to the taken ones; returns how many."""
    taken = db.execute(
        "INSERT INTO taken SELECT * FROM fresh WHERE file = ? ORDER BY id LIMIT ?", (file, most)
    ).rowcount
    db.execute("DELETE FROM fresh WHERE (file, id) IN (SELECT file, id FROM taken)")
    return taken


def copy_rows(db: sqlite3.Connection, file: str) -> int:
    """Copies the taken rows of a file, and the sessions that drew them.

    Returns:
        How many were copied: a turn that was replaced meanwhile is not there any more.
    """
    table = _table(file)
    if table == "turns":
        db.execute(
            "CREATE TABLE IF NOT EXISTS segment.turns AS "
            "SELECT '' AS file, x'' AS basis, s.* FROM source.turns AS s WHERE FALSE"
        )
    copied = db.execute(
        f"INSERT INTO segment.{table} SELECT t.file, t.basis, s.* "
        f"FROM taken AS t JOIN source.{table} AS s ON s.rowid = t.id "
        "WHERE t.file = ? ORDER BY t.id",
        (file,),
    ).rowcount
    if table == "turns":
        db.execute(
            "INSERT INTO segment.sessions SELECT :file, id, started, info FROM source.sessions "
            "WHERE id IN (SELECT session FROM segment.turns WHERE file = :file)",
            {"file": file},
        )
    return copied


def copy_meta(db: sqlite3.Connection, file: str, meta: Mapping[str, str]) -> None:
    """Writes a file's facts, all of them."""
    rows = [(file, key, value) for key, value in meta.items()]
    db.executemany("INSERT INTO segment.meta VALUES (?, ?, ?)", rows)


def merge(db: sqlite3.Connection, file: str, first_row: int) -> set[int]:
    """Merges a file's rows, from a row id on, into `journal`; what is there stays.

    Returns:
        The rows of which something was brought back.
    """
    if holds_labels(file):
        return _merge_labels(db, file, first_row)
    if not db.execute("SELECT 1 FROM segment.sqlite_master WHERE name = 'turns'").fetchone():
        return set()
    turns = db.execute("SELECT DISTINCT turn FROM segment.turns WHERE file = ?", (file,))
    found: set[int] = set()
    for (turn,) in sorted(turns):  # A turn is merged once the one that it follows on is.
        found |= _merge_turns(db, {"file": file, "first_row": first_row, "turn": turn})
    return found


def stash_labels(db: sqlite3.Connection) -> None:
    """Adds a segment's labels to those put by in `stash`, to be merged when all turns are."""
    columns = "file, basis, row_id, failure, label"
    db.execute(f"CREATE TABLE IF NOT EXISTS stash.labels ({columns})")
    db.execute(f"INSERT INTO stash.labels SELECT {columns} FROM segment.labels ORDER BY rowid")


def _merge_turns(db: sqlite3.Connection, which: dict[str, str | int]) -> set[int]:
    file = str(which["file"])
    fits = "TRUE" if file == FIRST else f"s.basis = {rests_on(file, 'journal')}"
    beside = (
        "FROM segment.turns AS s {} JOIN journal.turns AS j ON j.row_id = s.row_id "
        "AND j.turn = s.turn WHERE s.file = :file AND s.turn = :turn AND s.row_id >= :first_row "
        f"AND {fits}"
    )
    same = "j.instruction IS s.instruction AND j.response IS s.response"
    # A response that was put off may come in a later segment: then, and only then, what this state
    # brought gives way.
    put_off = (
        "j.response IS NULL AND s.response IS NOT NULL AND j.instruction = s.instruction "
        "AND EXISTS (SELECT 1 FROM saved AS k WHERE k.file = :file AND k.id = j.rowid)"
    )
    db.execute("DELETE FROM accepted")
    db.execute(
        f"INSERT INTO accepted SELECT s.rowid, j.rowid {beside.format('LEFT')} "
        f"AND (j.rowid IS NULL OR {put_off})",
        which,
    )
    drawn = "SELECT * FROM segment.turns WHERE rowid IN (SELECT id FROM accepted)"
    db.execute(
        "INSERT INTO journal.sessions (started, info) "
        "SELECT o.started, o.info FROM segment.sessions AS o "
        f"WHERE o.file = :file AND o.id IN (SELECT session FROM ({drawn})) "
        "AND NOT EXISTS (SELECT 1 FROM journal.sessions AS n "
        "WHERE n.started = o.started AND n.info = o.info) "
        "GROUP BY o.started, o.info ORDER BY MIN(o.id)",
        which,
    )
    db.execute("DELETE FROM moved")
    db.execute(
        "INSERT INTO moved SELECT o.id, MIN(n.id) FROM segment.sessions AS o "
        "JOIN journal.sessions AS n ON n.started = o.started AND n.info = o.info "
        "WHERE o.file = :file GROUP BY o.id",
        which,
    )
    names = [row[1] for row in db.execute("PRAGMA journal.table_info(turns)")]
    here = "COALESCE((SELECT here FROM moved WHERE there = s.session), 0)"
    values = ", ".join(here if name == "session" else f"s.{name}" for name in names)
    (top,) = db.execute("SELECT COALESCE(MAX(rowid), 0) FROM journal.turns").fetchone()
    db.execute("DELETE FROM journal.turns WHERE rowid IN (SELECT gone FROM accepted)")
    db.execute(
        f"INSERT INTO journal.turns (rowid, {', '.join(names)}) "
        f"SELECT {top} + row_number() OVER (ORDER BY s.rowid), {values} "
        "FROM segment.turns AS s WHERE s.rowid IN (SELECT id FROM accepted)"
    )
    db.execute(
        f"INSERT OR IGNORE INTO saved SELECT :file, j.rowid {beside.format('')} AND {same}", which
    )
    return {row_id for (row_id,) in db.execute(f"SELECT row_id FROM ({drawn})")}


def _merge_labels(db: sqlite3.Connection, file: str, first_row: int) -> set[int]:
    # An instruction may have been labelled before it was answered.
    unanswered = rests_on(file, "journal", "words(p.instruction, NULL)")
    beside = (
        "FROM segment.labels AS s {} JOIN journal.labels AS j ON j.row_id = s.row_id "
        "WHERE s.file = :file AND s.row_id >= :first_row "
        f"AND s.basis IN ({rests_on(file, 'journal')}, {unanswered})"
    )
    which = {"file": file, "first_row": first_row}
    db.execute("DELETE FROM accepted")
    db.execute(
        "INSERT INTO accepted SELECT MIN(s.rowid), NULL "
        f"{beside.format('LEFT')} AND j.row_id IS NULL GROUP BY s.row_id",
        which,
    )
    db.execute(
        "INSERT INTO journal.labels SELECT row_id, failure, label "
        "FROM segment.labels WHERE rowid IN (SELECT id FROM accepted)"
    )
    db.execute(
        f"INSERT OR IGNORE INTO saved SELECT :file, j.row_id {beside.format('')} "
        "AND j.failure IS s.failure AND j.label = s.label",
        which,
    )
    rows = db.execute("SELECT row_id FROM segment.labels WHERE rowid IN (SELECT id FROM accepted)")
    return {row_id for (row_id,) in rows}


def _table(file: str) -> str:
    return "labels" if holds_labels(file) else "turns"
