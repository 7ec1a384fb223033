"""Shards of rows that are written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from magpie_hub.release.parquet import Shards


def write_shards(
    rows: Iterable[dict[str, Any]], schema: pa.Schema, folder: Path, split: str = "train"
) -> list[Path]:
    """Writes rows as a release does; returns the shards in order."""
    with Shards(schema, folder, split) as shards:
        shards.add(pa.Table.from_pylist(list(rows), schema))
    return shards.paths
