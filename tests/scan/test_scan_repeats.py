"""A value that is in a release more than once is found in each place."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.scan.rows import parts, scan_rows
from magpie_hub.scan.scanner import scan_release

from .planted import plant
from .test_scan_release import places, release, row_of, said

RAW = "data/raw/train-00000-of-00001.parquet"
DEFAULT = "data/default/train-00000-of-00001.parquet"
FILLER = "No word here is anything. " * 12


def test_names_with_dots_are_read_in_full(tmp_path: Path) -> None:
    planted, path = plant(0, 1), release(tmp_path) / "data" / "x.parquet"
    nested = [{"b": "x"}, {"b": planted.text}]
    pq.write_table(pa.table({"a.b": ["x", "y"], "a": nested, "c.d": ["x", "y"]}), path)
    assert places(scan_release(tmp_path)) == [("hf-token", "data/x.parquet row 1 column a.b")]


def test_what_stands_in_both_configs_is_found_in_both(tmp_path: Path) -> None:
    token = plant(0, 1).text
    rows = [said(at, f"{FILLER}{token if at == 7 else at}") for at in range(20)]
    release(tmp_path, rows)
    release(tmp_path, [row_of(100), *rows, said(101, f"{FILLER} jo@acme.io")], table=RAW)
    seven = f"row {uuid.UUID(int=7)} column response"
    assert places(scan_release(tmp_path)) == [
        ("hf-token", f"{DEFAULT} {seven}"),
        ("hf-token", f"{RAW} {seven}"),
        ("email", f"{RAW} row {uuid.UUID(int=101)} column response"),
    ]


TEXTS = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from(["x", FILLER, f"{FILLER}jo@acme.io", "jo@acme.io", f"al@acme.io {FILLER}"]),
        st.text(max_size=3),
    ),
    min_size=1,
    max_size=30,
)


@given(one=TEXTS, more=TEXTS, group=st.integers(1, 9))
def test_repeats_change_no_answer(
    one: list[str | None],
    more: list[str | None],
    group: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("x") / "x.parquet"
    rows = [*one, *more, *one]
    table = pa.table({"a": pa.array(rows, pa.string()), "b": pa.array(rows[::-1], pa.string())})
    pq.write_table(table, path, row_group_size=group)
    found = [tuple(each) for part in parts(path) for each in scan_rows(part)]
    assert found == [
        (f"row {row} column {column}", "email", mail)
        for row, texts in enumerate(zip(rows, rows[::-1], strict=True))
        for mail, column in _mails(texts)
    ]


def _mails(texts: tuple[str | None, ...]) -> list[tuple[str, str]]:
    """The addresses of a row, each with the first column that has it."""
    found: dict[str, str] = {}
    for column, text in zip("ab", texts, strict=True):
        for mail in ("jo@acme.io", "al@acme.io"):
            if text and mail in text:
                found.setdefault(mail, column)
    return list(found.items())
