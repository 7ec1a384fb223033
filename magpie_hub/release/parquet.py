"""Rows to Parquet shards, as a publisher of datasets wants them.

zstd; a page index, by which the Hub's viewer reads a few rows without their row group;
content-defined chunking, by which a re-upload sends what changed and not what moved; bounded
shards, named ``train-00000-of-000NN.parquet``. Memory holds one row group.

Row groups are large, because a row that moves into another one moves the pages at its ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from magpie_hub.schema import Row

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1_000
"""Rows turned into columns at once."""

GROUP_BYTES = 64 * 1024**2
"""A row group ends with the batch that takes it beyond this, before compression; the Hub's viewer
reads up to 286 MiB."""

SHARD_BYTES = 256 * 1024**2
"""Upper bound of a shard; the Hub's viewer advises 100 to 300 MB."""


def write_shards(
    rows: Iterable[Row], schema: pa.Schema, folder: Path, split: str = "train", before: int = 0
) -> list[Path]:
    """Writes rows as Parquet shards.

    Args:
        rows: Values by column.
        schema: Their columns.
        folder: Made if missing; holds nothing else of that split.
        split: Beginning of the file names.
        before: Shards that come before these, and lie elsewhere.

    Returns:
        The shards in order; one without rows if there are no rows.
    """
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    parts: list[Path] = []
    groups = _groups(iter(rows), schema)
    group = next(groups, None)
    while group is not None or not parts:
        part = folder / f"{split}-{len(parts):05d}.part"
        parts.append(part)
        with (
            part.open("wb") as file,
            pq.ParquetWriter(
                file,
                schema,
                compression="zstd",
                write_page_index=True,
                use_content_defined_chunking=True,
            ) as writer,
        ):
            while group is not None and file.tell() < SHARD_BYTES:
                writer.write_table(group, row_group_size=max(1, group.num_rows))
                group = next(groups, None)
    shards = []
    for index, part in enumerate(parts, before):
        shard = folder / f"{split}-{index:05d}-of-{before + len(parts):05d}.parquet"
        part.rename(shard)
        shards.append(shard)
    return shards


def _groups(rows: Iterator[Row], schema: pa.Schema) -> Iterator[pa.Table]:
    """Rows as tables of a row group each."""
    import pyarrow as pa

    held: list[pa.Table] = []
    while batch := list(islice(rows, BATCH)):
        held.append(pa.Table.from_pylist(batch, schema))
        if sum(table.nbytes for table in held) >= GROUP_BYTES:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)
