"""Finished turns on their way into the journals."""

from __future__ import annotations

from pathlib import Path

import pytest

from magpie_hub.errors import JournalError
from magpie_hub.store.journal import OPEN, Journal, TurnRecord
from magpie_hub.store.labels import Label, Labels
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStore


def turn(row_id: int, turn: int = 1, digest: bytes | None = b"d") -> TurnRecord:
    return TurnRecord(row_id, turn, None, digest, "Why?", "So.", "stop", "stop", (1,), (2,))


def test_turns_wait_for_the_commit_and_are_known_as_repeats_at_once(tmp_path: Path) -> None:
    first, later = Journal(tmp_path / "first.db"), Journal(tmp_path / "later.db")
    with first, later, Labels(tmp_path / "labels.db") as labels:
        pending = PendingTurns(RowStore(first, later, 2), labels)
        pending.put(turn(4), label=Label(4, {"input_quality": "good"}))
        pending.put(turn(4, 2, None))
        pending.put(turn(2))
        assert (len(pending), first.get(4, 1), labels.get(4)) == (3, None, None)
        assert [pending.repeats(row, b"d") for row in (1, 2, 3, 4)] == [False, False, True, True]
        pending.commit()
        assert len(pending) == 0
        assert first.get(2, 1) == turn(2)
        assert later.get(4, 2) == turn(4, 2, None)
        assert labels.get(4) == Label(4, {"input_quality": "good"})
        assert [pending.repeats(row, b"d") for row in (1, 2, 3, 4)] == [False, False, True, True]


def test_a_commit_is_whole_or_nothing_and_what_failed_waits_on(tmp_path: Path) -> None:
    with Journal(tmp_path / "first.db") as first:
        first.put(turn(1))
        pending = PendingTurns(RowStore(first, None, 1))
        pending.put(turn(0, digest=None))
        pending.put(turn(1))
        with pytest.raises(JournalError):
            pending.commit()
        assert (first.get(0, 1), len(pending)) == (None, 2)


def test_a_response_is_added_to_a_turn_that_lacked_one(tmp_path: Path) -> None:
    with Journal(tmp_path / "first.db") as first:
        asked = TurnRecord(0, 1, OPEN, None, "Why?", None, "stop", None, (1,), None)
        first.put(asked)
        pending = PendingTurns(RowStore(first, None, 1))
        assert pending.get(0, 1) == asked
        assert pending.is_deferred(OPEN)
        pending.put(turn(0), answered=True)
        pending.commit()
        assert first.get(0, 1) == turn(0)


def test_a_journal_that_fails_is_named_again_and_the_other_is_written_once(tmp_path: Path) -> None:
    first, later = Journal(tmp_path / "first.db"), Journal(tmp_path / "later.db")
    with first, later:
        later.put(turn(4, 2, None))
        pending = PendingTurns(RowStore(first, later, 2))
        pending.put(turn(4))
        pending.put(turn(4, 2, None))
        for _ in range(2):
            with pytest.raises(JournalError, match=r"later\.db"):
                pending.commit()
            assert first.get(4, 1) == turn(4)
            assert len(pending) == 1
