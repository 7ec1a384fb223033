"""Rows to Parquet shards, as a publisher of datasets wants them.

zstd; a page index and row groups of 1,000 rows, which the Hub's viewer reads page by page;
content-defined chunking, by which a re-upload sends what changed and not what moved; bounded
shards, named ``train-00000-of-000NN.parquet``. Memory holds one row group.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from magpie_hub.schema import Row

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 1_000
SHARD_BYTES = 256 * 1024**2
"""Upper bound of a shard; the Hub's viewer advises 100 to 300 MB."""


def write_shards(
    rows: Iterable[Row], schema: pa.Schema, folder: Path, split: str = "train"
) -> list[Path]:
    """Writes rows as Parquet shards.

    Args:
        rows: Values by column.
        schema: Their columns.
        folder: Made if missing; holds nothing else of that split.
        split: Beginning of the file names.

    Returns:
        The shards in order; one without rows if there are no rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    rows = iter(rows)
    parts: list[Path] = []
    batch = list(islice(rows, ROW_GROUP))
    while batch or not parts:
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
            while batch and file.tell() < SHARD_BYTES:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch = list(islice(rows, ROW_GROUP))
    shards = []
    for index, part in enumerate(parts):
        shard = folder / f"{split}-{index:05d}-of-{len(parts):05d}.parquet"
        part.rename(shard)
        shards.append(shard)
    return shards
