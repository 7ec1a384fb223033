"""The journal: what is committed stays, once, whatever happens to the process or the disk."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.errors import JournalError, OutputError
from magpie_hub.store import journal as journal_module
from magpie_hub.store.journal import OPEN, Journal, TurnRecord, TurnText
from magpie_hub.store.sqlite import IN_MEMORY

INDEXES = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
RECORD = TurnRecord(0, 1, None, b"d", "Why?", "So.", "stop", "stop", (1, 2), (3, 4, 70000))
ids = st.lists(st.integers(0, 2**24 - 1), max_size=50).map(tuple)
text = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=50)
@given(text, st.none() | text, ids, ids, st.none() | st.binary(min_size=1))
def test_what_goes_in_comes_out(instruction, response, asked, answered, digest) -> None:
    record = replace(
        RECORD,
        instruction=instruction,
        response=response,
        instruction_ids=asked,
        response_ids=None if response is None else answered,
        digest=digest,
    )
    with Journal(IN_MEMORY) as journal:
        journal.put(record)
        assert journal.get(0, 1) == record
        (words,) = journal.texts(0, 1)
    assert words == TurnText(
        row_id=0,
        turn=1,
        instruction=instruction,
        response=response,
        response_finish="stop",
        instruction_tokens=len(asked),
        response_tokens=None if response is None else len(answered),
    )


def test_words_are_those_of_a_range_in_order() -> None:
    with Journal(IN_MEMORY) as journal:
        for row_id, turn in ((3, 2), (1, 1), (3, 1), (0, 1), (4, 1)):
            journal.put(replace(RECORD, row_id=row_id, turn=turn))
        found = [(words.row_id, words.turn) for words in journal.texts(1, 4)]
    assert found == [(1, 1), (3, 1), (3, 2)]


def test_a_turn_is_there_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        journal.put(RECORD)
        with pytest.raises(JournalError, match="UNIQUE"):
            journal.put(replace(RECORD, instruction="Another?"))
        assert journal.get(0, 1) == RECORD


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=25))
def test_rowids_of_words_only_rise(steps) -> None:
    """What was committed last has the highest rowid, a turn that got its response too."""
    put_off = replace(RECORD, response=None, response_ids=None, reason="off", digest=None)
    with Journal(IN_MEMORY) as journal:
        highest = 0
        for puts_off, row in steps:
            known = journal.get(row, 1)
            new = replace(put_off if puts_off else RECORD, row_id=row)
            if known is None:
                journal.put(new)
            else:
                journal.put_many((), [new])
            fresh = known is None or (known.response is None and not puts_off)
            (rowid,) = journal._db.execute(
                "SELECT rowid FROM turns WHERE row_id = ? AND turn = 1", (row,)
            ).fetchone()
            assert (rowid > highest) if fresh else (rowid <= highest)
            highest = max(highest, rowid)
            found = journal.get(row, 1)
            assert found is not None
            assert (found.reason, found.digest) == (new.reason, new.digest)
            assert found.response == (RECORD.response if known and known.response else new.response)


def test_a_turn_gets_its_response_once_and_keeps_its_words(tmp_path: Path) -> None:
    off = replace(RECORD, response=None, response_ids=None, response_finish=None, reason="off:1")
    with Journal(tmp_path / "j.db") as journal:
        journal.put(off)
        for other in (replace(RECORD, row_id=1), replace(RECORD, instruction="Who?")):
            with pytest.raises(JournalError, match="has other words already"):
                journal.put_many((), [other])
            assert journal.get(0, 1) == off
        session = journal.begin_session({"engine": "toy"})
        journal.put_many((), [RECORD])
        assert journal.get(0, 1) == RECORD
        with pytest.raises(JournalError, match="has other words already"):
            journal.put_many((), [replace(RECORD, response="No.")])
        assert journal.get(0, 1) == RECORD
        assert [tuple(mark) for mark in journal.turn_index()] == [(0, 1, None, b"d", 0, 3)]
        found = journal._db.execute(
            "SELECT session, instruction_tokens, response_tokens FROM turns"
        ).fetchall()
        assert found == [(session, 2, 3)]


def test_lists_of_gates_share_the_words_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with Journal(path, "strict") as strict:
        strict.put(replace(RECORD, reason="instruction.colon", digest=None))
        strict.put(replace(RECORD, row_id=1))
        with Journal(path, "mild", readonly=True) as mild:
            assert list(mild.turn_index()) == []
            assert mild.counts(1) == {}
            assert mild.last() == -1
            assert mild.lowest_with(b"d") is None
            assert mild.get(0, 1) == replace(RECORD, reason=OPEN, digest=None)
        with Journal(path, "mild") as mild:
            places = mild.unjudged()
            assert len(places) == 2
            mild.judge(replace(turn, reason=None, digest=b"m") for turn in mild.at(places))
            assert not mild.unjudged()
            assert mild.counts(1) == {"": 2}
            assert mild.lowest_with(b"m") == 0
        assert strict.counts(1) == {"": 1, "instruction.colon": 1}
        assert not strict.unjudged()


def test_an_index_that_was_dropped_is_rebuilt(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with Journal(path) as journal:
        journal.put(RECORD)
        names = [name for (name,) in journal._db.execute(INDEXES)]
        sql = journal._db.execute("SELECT name, sql FROM sqlite_master").fetchall()
    assert names
    for readonly in (False, True):
        for name in names:
            with sqlite3.connect(path) as db:
                db.execute(f"DROP INDEX {name}")
            with Journal(path, readonly=readonly) as journal:
                assert journal.get(0, 1) == RECORD
                assert list(journal.turn_index())
                assert sorted(journal._db.execute("SELECT name, sql FROM sqlite_master")) == sorted(
                    sql
                )
                with pytest.raises(JournalError):
                    journal.put(RECORD)


def test_an_index_of_another_kind_is_rebuilt(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute("DROP INDEX turns_once")
        db.execute("CREATE INDEX turns_once ON turns (row_id)")
    with Journal(path) as journal:
        journal.put(RECORD)
        with pytest.raises(JournalError, match="UNIQUE"):
            journal.put(RECORD)


def test_an_index_that_cannot_be_rebuilt_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with Journal(path) as journal:
        journal.put(RECORD)
    with sqlite3.connect(path) as db:
        db.execute("DROP INDEX turns_once")
        db.execute("INSERT INTO turns SELECT * FROM turns")
    for readonly in (False, True):
        with pytest.raises(
            JournalError, match="index turns_once is missing and cannot be"
        ) as caught:
            Journal(path, readonly=readonly)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", ["turns", "verdicts", "sessions", "gates"])
def test_a_table_that_was_dropped_is_one_line(tmp_path: Path, table: str) -> None:
    path = tmp_path / "j.db"
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"DROP TABLE {table}")
    with pytest.raises(JournalError, match=f"table {table} is missing") as caught:
        Journal(path)
    assert "\n" not in str(caught.value)


def test_it_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as writer, Journal(tmp_path / "j.db", readonly=True) as reader:
        writer.put(RECORD)
        assert reader.get(0, 1) == RECORD
        with pytest.raises(JournalError):
            reader.put(replace(RECORD, row_id=1))


WRITER = """
import sys
from pathlib import Path
from magpie_hub.store.sqlite import IN_MEMORY
from magpie_hub.store.journal import Journal, TurnRecord
with Journal(Path(sys.argv[1])) as journal:
    for row in range(10**6):
        journal.put(TurnRecord(row, 1, None, None, "x" * 300, "y", "stop", "stop", (1,), (2,)))
        print(row, flush=True)
"""


def test_a_kill_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    for pause in (0.3, 0.35, 0.5):
        path = tmp_path / f"{pause}.db"
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(pause)
            os.kill(process.pid, signal.SIGKILL)
            said = process.stdout.read().decode().split("\n")
        last = int(said[-2])
        with Journal(path) as journal:
            rows = [mark.row_id for mark in journal.turn_index()]
            assert rows == list(range(len(rows)))
            # The last row that was told of, and at most the one whose telling was lost.
            assert last + 1 <= len(rows) <= last + 2
            journal.put(replace(RECORD, row_id=len(rows)))


def test_a_torn_tail_is_dropped_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    journal = Journal(path)
    for row in range(50):
        journal.put(replace(RECORD, row_id=row))
    # The process dies here: no close, no checkpoint; and the disk has lost the log's tail.
    wal = path.with_name("j.db-wal").read_bytes()
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    copy.with_name("copy.db-wal").write_bytes(wal[: len(wal) * 2 // 3 + 17])
    with Journal(copy) as torn:
        rows = [mark.row_id for mark in torn.turn_index()]
        assert rows == list(range(len(rows)))
        assert 0 < len(rows) < 50
        torn.put(replace(RECORD, row_id=len(rows)))
    journal.close()


def test_a_full_disk_is_said_and_the_rest_stays(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        journal.put(RECORD)
        journal._db.execute("PRAGMA max_page_count = 30")
        with pytest.raises(JournalError, match="disk is full.*run again") as caught:
            for row in range(1, 1000):
                journal.put(replace(RECORD, row_id=row, instruction=os.urandom(2000).hex()))
        assert "\n" not in str(caught.value)
        assert journal.get(0, 1) == RECORD


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be opened"):
        Journal(tmp_path / "file" / "j.db")


def test_what_is_no_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    path.write_text("this is somebody's text, not a database, and quite long enough to be read")
    with pytest.raises(JournalError, match="not a database"):
        Journal(path)
    assert path.read_text().startswith("this is somebody's")


def test_a_journal_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    with pytest.raises(JournalError, match="layout 99"):
        Journal(path)


def test_counting_and_resuming_never_read_the_texts(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        queries = (
            journal_module._INDEX,
            journal_module._LOWEST,
            journal_module._LAST,
            journal_module._COUNTS,
            journal_module._UNASKED,
        )
        for query in queries:
            marks = (1,) * query.count("?") if "?1" not in query else (1,)
            steps = [row[3] for row in journal._db.execute("EXPLAIN QUERY PLAN " + query, marks)]
            reads = [step for step in steps if step.startswith(("SCAN", "SEARCH"))]
            assert reads
            # The verdicts' key holds everything about a turn but its text.
            assert all("COVERING INDEX" in s or "USING PRIMARY KEY" in s for s in reads), steps


def test_a_token_id_that_no_vocabulary_has_is_not_cut_short() -> None:
    with Journal(IN_MEMORY) as journal:
        with pytest.raises(ValueError, match="token id 16777216 is over 2"):
            journal.put(replace(RECORD, instruction_ids=(1, 2**24)))
        assert journal.get(0, 1) is None
