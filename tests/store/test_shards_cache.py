"""The shelf: of a published shard what is wanted, once a machine."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.store.rows import digest
from magpie_hub.store.shards import CachedShard, Digests, ShardCache

TABLE = pa.table(
    {
        "uuid": ["u0", "u1", "u2"],
        "instruction": ["What is rain?", "Name a star.", "\ud7ff\n|"],
        "response": ["x" * 1000] * 3,
        "gen_input_configs": [{"temperature": 1.0, "seed": n} for n in range(3)],
        "judge_failures": [[{"judge": "tags", "reason": "prose"}], [], None],
    }
)
COLUMNS = ("uuid", "instruction", "gen_input_configs.temperature", "judge_failures", "absent")


def shelve(folder: Path, table: pa.Table = TABLE, groups: int = 2) -> CachedShard:
    shard = folder / "shard.parquet"
    pq.write_table(table, shard, row_group_size=groups)
    return ShardCache(folder / "home").put("a" * 64, shard, COLUMNS)


def test_it_keeps_what_is_wanted_row_for_row(tmp_path: Path) -> None:
    shelved = shelve(tmp_path)
    kept = pq.read_table(shelved.path)
    assert kept.column_names == ["uuid", "instruction", "gen_input_configs", "judge_failures"]
    assert kept["gen_input_configs"].to_pylist() == [{"temperature": 1.0}] * 3
    assert kept["judge_failures"].to_pylist() == TABLE["judge_failures"].to_pylist()
    wanted = list(zip(TABLE["uuid"].to_pylist(), TABLE["instruction"].to_pylist(), strict=True))
    assert list(shelved.instructions()) == wanted
    assert shelved.rows == 3


def test_it_finds_what_it_has_and_nothing_that_is_spoilt(tmp_path: Path) -> None:
    shelved = shelve(tmp_path)
    shard_cache = ShardCache(tmp_path / "home")
    assert shard_cache.find("a" * 64) == shelved
    assert shard_cache.find("b" * 64) is None
    shelved.path.write_bytes(shelved.path.read_bytes()[:100])
    assert shard_cache.find("a" * 64) is None


def test_a_shard_without_rows_has_its_columns(tmp_path: Path) -> None:
    shelved = shelve(tmp_path, TABLE.slice(0, 0))
    assert shelved.rows == 0
    assert "uuid" in pq.read_schema(shelved.path).names
    assert len(Digests([shelved])) == 0
    assert digest("x") not in Digests([shelved])


@given(st.lists(st.text(max_size=8), max_size=30), st.text(max_size=8))
def test_a_digest_is_in_if_its_words_are(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], other: str
) -> None:
    clean = [text.encode(errors="replace").decode() for text in texts]
    rows = pa.table({"uuid": [str(n) for n in range(len(clean))], "instruction": clean})
    rows = rows.cast(pa.schema([("uuid", pa.string()), ("instruction", pa.string())]))
    found = Digests([shelve(tmp_path_factory.mktemp("shards"), rows, 7)])
    assert len(found) == len(clean)
    assert all(digest(text) in found for text in clean)
    known = {digest(text) for text in clean}
    assert (digest(other) in found) == (digest(other) in known)
    assert "words" not in found
