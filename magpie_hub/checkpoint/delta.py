"""News: what a journal's files have that the state lacks, noted, taken and copied to a segment.

For a connection as `magpie_hub.checkpoint.segment` describes it: `source` is attached read-only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from magpie_hub.checkpoint.files import holds_labels
from magpie_hub.checkpoint.segment import rests_on
from magpie_hub.store.journal import FIRST


def find_fresh(db: sqlite3.Connection, file: str, first_row: int) -> dict[str, str]:
    """Notes which rows of `source` the state lacks, from a row id on; returns the file's meta.

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
        How many were copied: a turn that another has taken the place of is not there any more.
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


def _table(file: str) -> str:
    return "labels" if holds_labels(file) else "turns"
