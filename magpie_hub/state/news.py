"""News: what a journal's files have that the state lacks, noted, taken and copied to a segment.

For a connection as `magpie_hub.state.segment` describes it: `source` is attached read-only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from magpie_hub.journal import FIRST
from magpie_hub.state.files import holds_labels
from magpie_hub.state.segment import rests_on


def find_fresh(db: sqlite3.Connection, file: str, first_row: int) -> dict[str, str]:
    """Notes which rows of `source` the state lacks, from a row id on; returns the file's meta.

    What rests on a turn that is not there, such as a label of a turn in flight, is left for later.
    """
    table = "labels" if holds_labels(file) else "turns"
    rests = "TRUE" if file == FIRST else f"{rests_on(file, 'source', '1')} IS NOT NULL"
    db.execute(
        f"INSERT INTO fresh SELECT :file, s.rowid FROM source.{table} AS s "
        "WHERE s.row_id >= :first_row AND NOT EXISTS "
        "(SELECT 1 FROM saved AS k WHERE k.file = :file AND k.id = s.rowid) "
        f"AND {rests}",
        {"file": file, "first_row": first_row},
    )
    return dict(db.execute("SELECT key, value FROM source.meta"))


def take(db: sqlite3.Connection, file: str, most: int) -> int:
    """Moves fresh rows of a file to the taken ones; returns how many."""
    taken = db.execute(
        "INSERT INTO taken SELECT file, id FROM fresh WHERE file = ? ORDER BY id LIMIT ?",
        (file, most),
    ).rowcount
    db.execute("DELETE FROM fresh WHERE (file, id) IN (SELECT file, id FROM taken)")
    return taken


def copy_rows(db: sqlite3.Connection, file: str) -> None:
    """Copies the taken rows of a file, and the sessions that drew them."""
    table = "labels" if holds_labels(file) else "turns"
    if table == "turns":
        db.execute(
            "CREATE TABLE IF NOT EXISTS segment.turns AS "
            "SELECT '' AS file, x'' AS basis, s.* FROM source.turns AS s WHERE FALSE"
        )
    db.execute(
        f"INSERT INTO segment.{table} SELECT :file, {rests_on(file, 'source')}, s.* "
        f"FROM source.{table} AS s "
        "WHERE s.rowid IN (SELECT id FROM taken WHERE file = :file) ORDER BY s.rowid",
        {"file": file},
    )
    if table == "turns":
        db.execute(
            "INSERT INTO segment.sessions SELECT :file, id, started, info FROM source.sessions "
            "WHERE id IN (SELECT session FROM segment.turns WHERE file = :file)",
            {"file": file},
        )


def copy_meta(db: sqlite3.Connection, file: str, meta: Mapping[str, str]) -> None:
    """Writes a file's facts, all of them."""
    rows = [(file, key, value) for key, value in meta.items()]
    db.executemany("INSERT INTO segment.meta VALUES (?, ?, ?)", rows)
