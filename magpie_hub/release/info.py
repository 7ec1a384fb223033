"""`dataset_info` of a release: what `datasets` wants to know before it reads a file.

Read from the Parquet footers alone, so that it cannot say anything else than the files; a card
whose counts are not those of its files does not load (NonMatchingSplitsSizesError).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from magpie_hub.errors import OutputError

DEFAULT = "default"
"""The config that is loaded when none is named."""

_SHARD = re.compile(r"(?P<split>\w+)-\d{5}-of-\d{5}\.parquet")


def dataset_info(folder: Path) -> list[dict[str, Any]]:
    """Describes the configs of a release.

    Args:
        folder: The release, with ``data/<config>/<split>-00000-of-000NN.parquet``.

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
    return [_config(path) for path in configs]


def _config(folder: Path) -> dict[str, Any]:
    import datasets
    import pyarrow.parquet as pq

    shards = [(found["split"], path) for path, found in _shards(folder)]
    if not shards:
        raise OutputError(f"{folder}: there are no Parquet files in it")
    schema = pq.read_schema(shards[0][1])
    splits: dict[str, dict[str, Any]] = {}
    for name, path in shards:
        with pq.ParquetFile(path) as file:
            metadata, same = file.metadata, file.schema_arrow.equals(schema)
        if not same:
            raise OutputError(f"{path}: other columns than those of {shards[0][1].name}")
        split = splits.setdefault(name, {"name": name, "num_bytes": 0, "num_examples": 0})
        groups = range(metadata.num_row_groups)
        split["num_bytes"] += sum(metadata.row_group(n).total_byte_size for n in groups)
        split["num_examples"] += metadata.num_rows
    return {
        "config_name": folder.name,
        "features": datasets.Features.from_arrow_schema(schema)._to_yaml_list(),
        "splits": list(splits.values()),
        "download_size": sum(path.stat().st_size for _, path in shards),
        "dataset_size": sum(split["num_bytes"] for split in splits.values()),
    }


def _shards(folder: Path) -> Iterable[tuple[Path, re.Match[str]]]:
    for path in sorted(folder.iterdir()):
        if found := _SHARD.fullmatch(path.name):
            yield path, found
