"""A book's conversations, read by the range: the same turns as row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from magpie_hub.store.rows import RowStore
from tests.toy_release import toy_job


@pytest.mark.parametrize("turns", [1, 2])
def test_a_range_of_conversations_is_its_rows(tmp_path: Path, turns: int) -> None:
    with toy_job(tmp_path).row_store() as both:
        # A recipe of one turn reads the rows that one of two turns has gone on with.
        row_store = RowStore(both.first, both.later, turns)
        rows = range(3, 40)
        said = row_store.conversations(rows)
        assert len(said) == len(rows)
        assert {len(conversation) for conversation in said} == set(range(1, turns + 1))
        for row_id, conversation in zip(rows, said, strict=True):
            records = row_store.conversation(row_id)
            assert [(one.turn, one.instruction, one.response) for one in conversation] == [
                (one.turn, one.instruction, one.response) for one in records
            ]
            assert [one.instruction_tokens for one in conversation] == [
                len(one.instruction_ids) for one in records
            ]
