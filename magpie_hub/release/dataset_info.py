"""`dataset_info` of a release: what `datasets` wants to know before it reads a file.

Read from the Parquet footers alone, so that it cannot say anything else than the files; a card
whose counts are not those of its files does not load (NonMatchingSplitsSizesError).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from magpie_hub.errors import OutputError
from magpie_hub.release.schema import DEFAULT

_SHARD = re.compile(r"(?P<split>\w+)-\d{5}-of-\d{5}\.parquet$")


def dataset_info(folder: Path, files: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Describes the configs of a release.

    Args:
        folder: The release, with ``data/<config>/<split>-00000-of-000NN.parquet``.
        files: Entries of its manifest by path, for shards that belong to it and lie elsewhere.

    Returns:
        An entry a config, the default one first: `config_name`, `features` in the Hub's YAML
        form, `splits` (name, num_bytes, num_examples), `download_size` (bytes of the files) and
        `dataset_size` (bytes of the columns, uncompressed, as Parquet encodes them).

    Raises:
        OutputError: There is no data, or a config's files have different columns.
    """
    configs = [path for path in (folder / "data").glob("*") if path.is_dir()]
    if not configs:
        raise OutputError(f"{folder}: there is no data in it")
    configs.sort(key=lambda path: (path.name != DEFAULT, path.name))
    elsewhere = {
        path: entry
        for path, entry in (files or {}).items()
        if _SHARD.search(path) and not (folder / path).exists()
    }
    return [_config(path, elsewhere) for path in configs]


def content_bytes(shard: Path) -> dict[str, int]:
    """What a shard's footer says of its content: `rows`, and `content_bytes`, uncompressed."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(shard)
    groups = range(metadata.num_row_groups)
    size = sum(metadata.row_group(number).total_byte_size for number in groups)
    return {"rows": metadata.num_rows, "content_bytes": size}


def _config(folder: Path, elsewhere: Mapping[str, Any]) -> dict[str, Any]:
    import datasets
    import pyarrow.parquet as pq

    shards = [(found["split"], path) for path, found in _shards(folder)]
    if not shards:
        raise OutputError(f"{folder}: there are no Parquet files in it")
    schema = pq.read_schema(shards[0][1])
    entries = []
    for name, path in shards:
        if not pq.read_schema(path).equals(schema):
            raise OutputError(f"{path}: other columns than those of {shards[0][1].name}")
        entries.append((name, {"bytes": path.stat().st_size, **content_bytes(path)}))
    for place, entry in elsewhere.items():
        if place.startswith(f"data/{folder.name}/") and (found := _SHARD.search(place)):
            entries.append((found["split"], entry))
    splits: dict[str, dict[str, Any]] = {}
    for name, entry in entries:
        split = splits.setdefault(name, {"name": name, "num_bytes": 0, "num_examples": 0})
        split["num_bytes"] += entry["content_bytes"]
        split["num_examples"] += entry["rows"]
    return {
        "config_name": folder.name,
        "features": datasets.Features.from_arrow_schema(schema)._to_yaml_list(),
        "splits": list(splits.values()),
        "download_size": sum(entry["bytes"] for _, entry in entries),
        "dataset_size": sum(split["num_bytes"] for split in splits.values()),
    }


def _shards(folder: Path) -> Iterable[tuple[Path, re.Match[str]]]:
    for path in sorted(folder.iterdir()):
        if found := _SHARD.fullmatch(path.name):
            yield path, found
