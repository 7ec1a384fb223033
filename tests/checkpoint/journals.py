"""Journals' folders for the tests: rows put, read back, and counted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from magpie_hub.store.journal import FIRST, Journal, TurnRecord
from magpie_hub.store.labels import Label, Labels
from magpie_hub.store.rows import DEFERRED

LATER = "later-0123456789abcdef.db"
TAGS = "labels/tags-0123456789abcdef.db"
PUT_OFF = f"{DEFERRED}:poor@0123456789abcdef"


def record(row_id: int, turn: int = 1, words: str = "", **fields: Any) -> TurnRecord:
    """A turn that passed, unless told otherwise."""
    said = {
        "reason": None,
        "digest": b"d%d" % row_id if turn == 1 else None,
        "instruction": f"Why {row_id}.{turn}?{words}",
        "response": f"So {row_id}.{turn}.{words}",
        "instruction_finish": "stop",
        "response_finish": "stop",
        "instruction_ids": (row_id, turn),
        "response_ids": (turn, row_id, 7),
    }
    return TurnRecord(row_id, turn, **{**said, **fields})


def shelved(row_id: int, reason: str = PUT_OFF, words: str = "") -> TurnRecord:
    """A first turn whose response was put off."""
    return record(
        row_id, words=words, reason=reason, response=None, response_finish=None, response_ids=None
    )


def put(folder: Path, rows: Iterable[int] = (), file: str = FIRST, turn: int = 1) -> None:
    """Puts turns that passed."""
    with Journal(folder / file) as journal:
        for row_id in rows:
            journal.put(record(row_id, turn))


def label(folder: Path, rows: Iterable[int], words: str = "good", file: str = TAGS) -> None:
    """Labels rows."""
    with Labels(folder / file) as labels:
        labels.put([Label(row_id, {"input_quality": words}) for row_id in rows])


def contents(folder: Path) -> dict[Any, Any]:
    """All that a checkpoint keeps of a folder: rows with the sessions that drew them, and facts."""
    found: dict[Any, Any] = {}
    for path in sorted([*folder.glob("*.db"), *folder.glob("labels/*.db")]):
        name = path.relative_to(folder).as_posix()
        with sqlite3.connect(path) as db:
            found[name, "meta"] = {
                key: json.loads(value) for key, value in db.execute("SELECT key, value FROM meta")
            }
            if name.startswith("labels/"):
                rows = db.execute("SELECT row_id, failure, label FROM labels").fetchall()
                found[name, "rows"] = {row[0]: row for row in rows}
                continue
            sessions = db.execute("SELECT started, info FROM sessions").fetchall()
            assert len(set(sessions)) == len(sessions)  # The tests begin each once.
            rows = db.execute(
                "SELECT row_id, turn, instruction, response, instruction_finish, "
                "response_finish, instruction_ids, response_ids, instruction_tokens, "
                "response_tokens, s.started, s.info "
                "FROM turns LEFT JOIN sessions AS s ON s.id = session"
            ).fetchall()
            found[name, "rows"] = {row[:2]: row for row in rows}
            assert len(found[name, "rows"]) == len(rows)
        db.close()
    return found


def rows_of(folder: Path, file: str = FIRST) -> list[Any]:
    """Keys of the rows of a file, sorted."""
    return sorted(contents(folder).get((file, "rows"), ()))
