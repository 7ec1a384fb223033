"""Shards: what is in them depends on the rows, not on the tables that they came in."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.release import parquet
from magpie_hub.release.parquet import Shards

SCHEMA = pa.schema([("row_id", pa.int64()), ("text", pa.string()), ("list", pa.list_(pa.string()))])


@pytest.fixture(autouse=True, scope="module")
def _small() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "BATCH", 10)
        patch.setattr(parquet, "GROUP_BYTES", 1_500)
        patch.setattr(parquet, "SHARD_BYTES", 2_000)
        yield


def table(first: int, end: int) -> pa.Table:
    rows = [
        {
            "row_id": n,
            "text": None if n % 7 == 0 else f"{n * n} " * (n % 30),
            "list": ["x"] * (n % 3),
        }
        for n in range(first, end)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def write(folder: Path, ends: list[int]) -> dict[str, bytes]:
    """Shards of the rows below the last end, in tables that stop at the ends."""
    with Shards(SCHEMA, folder) as shards:
        for first, end in zip([0, *ends], ends, strict=False):
            shards.add(table(first, end))
    return {path.name: path.read_bytes() for path in shards.paths}


@settings(max_examples=25)
@given(st.lists(st.integers(0, 300), max_size=12))
def test_cut_as_they_may_be_the_bytes_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, ends: list[int]
) -> None:
    place = tmp_path_factory.mktemp("shards")
    whole = write(place / "whole", [300])
    assert len(whole) > 2
    assert write(place / "cut", [*sorted(ends), 300]) == whole


def test_rows_that_come_filtered_are_written_as_if_they_never_had_been(tmp_path: Path) -> None:
    raw = table(0, 300)
    mask = pa.array([n % 7 != 0 for n in range(300)])
    with Shards(SCHEMA, tmp_path / "filtered") as filtered:
        for first in range(0, 300, 10):
            filtered.add(raw.slice(first, 10).filter(mask.slice(first, 10)))
    with Shards(SCHEMA, tmp_path / "fresh") as fresh:
        fresh.add(pa.Table.from_pylist(raw.filter(mask).to_pylist(), SCHEMA))
    assert [path.read_bytes() for path in filtered.paths] == [
        path.read_bytes() for path in fresh.paths
    ]


def test_no_rows_are_one_shard_with_the_columns(tmp_path: Path) -> None:
    with Shards(SCHEMA, tmp_path) as shards:
        shards.add(table(0, 0))
    assert [path.name for path in shards.paths] == ["train-00000-of-00001.parquet"]
    assert pq.read_table(shards.paths[0]).schema.equals(SCHEMA)


def test_shards_elsewhere_are_counted_in_the_names(tmp_path: Path) -> None:
    with Shards(SCHEMA, tmp_path, before=2) as shards:
        shards.add(table(0, 20))
    assert [path.name for path in shards.paths] == ["train-00002-of-00003.parquet"]


def test_a_full_disk_is_an_error_of_the_caller_and_names_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="No space left"), Shards(SCHEMA, tmp_path) as shards:
        for first in range(0, 300, 10):
            shards.add(table(first, first + 10))
    assert not list(tmp_path.glob("*.parquet"))
    assert not [one for one in threading.enumerate() if one.name.startswith("shards")]


def test_an_error_of_the_caller_leaves_no_shard(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Shards(SCHEMA, tmp_path) as shards:
        shards.add(table(0, 200))
        raise ZeroDivisionError
    assert not list(tmp_path.glob("*.parquet"))
    assert not [one for one in threading.enumerate() if one.name.startswith("shards")]
