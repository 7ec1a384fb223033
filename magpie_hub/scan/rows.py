"""Parquet files to findings, a batch of rows at a time.

All text is scanned, however deep it lies: strings and binary values, in lists, structs and maps.
Equal texts of a batch are scanned once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from magpie_hub.scan.text import find, scan_text, suspects

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BATCH = 2_000
BATCH_BYTES = 16 * 1024**2
"""Bounds of a batch."""
KEPT = 8_000_000
"""Characters of texts that are searched at a time."""
PART_BYTES = 64 * 1024**2
"""About what a part holds, uncompressed."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Found(NamedTuple):
    """A value in a file: where in it, and what."""

    place: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Part:
    """Neighbouring row groups of one file, scanned as one task.

    Attributes:
        path: The file.
        groups: Their indices.
        first: Index of their first row in the file.
        rows: How many rows they hold.
        size: How many bytes they hold, uncompressed.
    """

    path: Path
    groups: tuple[int, ...]
    first: int
    rows: int
    size: int


def parts(path: Path) -> list[Part]:
    """Cuts a file into parts.

    Raises:
        OSError, pyarrow.ArrowException: It cannot be read.
    """
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    found: list[Part] = []
    groups: list[int] = []
    first = rows = size = 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        groups.append(index)
        rows += group.num_rows
        size += group.total_byte_size
        if size >= PART_BYTES or index == metadata.num_row_groups - 1:
            found.append(Part(path, tuple(groups), first, rows, size))
            first += rows
            groups, rows, size = [], 0, 0
    return found


def scan_header(path: Path) -> Iterator[Found]:
    """Scans what a file says beside its rows: names of columns, and metadata."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    words = [str(schema)]
    for key, value in (pq.read_metadata(path).metadata or {}).items():
        if key != b"ARROW:schema":  # the schema again, in Base64
            words += [key.decode(errors="replace"), value.decode(errors="replace")]
    for kind, value in scan_text("\n".join(words)):
        yield Found("header", kind, value)


def scan_rows(part: Part) -> Iterator[Found]:
    """Scans rows.

    Args:
        part: The rows.

    Yields:
        What is found, row by row, each value of a row once, in the first column that has it.

    Raises:
        OSError, pyarrow.ArrowException: They cannot be read.
    """
    import pyarrow.parquet as pq

    kept: list[_Text] = []
    batch_rows = max(1, min(BATCH, BATCH_BYTES * part.rows // max(1, part.size)))
    with pq.ParquetFile(part.path) as file:
        first = part.first
        for batch in file.iter_batches(batch_rows, list(part.groups), use_threads=False):
            kept += _suspects(batch, first)
            first += batch.num_rows
            # Searching many at a time spreads the cost of compiling the patterns.
            if sum(len(text.text) for text in kept) > KEPT:
                yield from _search(kept)
                kept = []
    yield from _search(kept)


class _Text(NamedTuple):
    """A text that may hold something: whose it is, in which column, and it."""

    row: str
    column: str
    text: str


def _search(kept: list[_Text]) -> Iterator[Found]:
    said: set[tuple[str, str, str]] = set()
    for index, kind, value, _ in find([text.text for text in kept]):
        row, column, _ = kept[index]
        column = column if may_be_shown(column) else "?"
        if (row, kind, value) not in said:
            said.add((row, kind, value))
            yield Found(f"row {row} column {column}", kind, value)


def _suspects(batch: pa.RecordBatch, first: int) -> list[_Text]:
    """The texts of a batch that may hold something, row by row, each text of a row once.

    Args:
        batch: The rows.
        first: Index of the first of them in the file.
    """
    import numpy as np
    import pyarrow as pa

    rows = np.arange(batch.num_rows)
    columns = [
        found
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        for found in _leaves(name, column, rows)
    ]
    if not columns:
        return []
    encoded = pa.concat_arrays([texts for texts, _ in columns]).dictionary_encode()
    which = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    ends = np.cumsum([len(texts) for texts, _ in columns])
    uuids = batch.column("uuid") if "uuid" in batch.schema.names else None
    placed: dict[tuple[int, int], str] = {}
    for at in np.flatnonzero(np.isin(which, suspects(encoded.dictionary))).tolist():
        column = int(np.searchsorted(ends, at, side="right"))
        leaf = columns[column][1]
        row = int(leaf.rows[at - int(ends[column])])  # counted from the column's end
        placed.setdefault((row, int(which[at])), leaf.name)
    return [
        _Text(
            _row_name(uuids, row) or str(first + row),
            name,
            encoded.dictionary[text].as_py().decode(errors="replace"),
        )
        for (row, text), name in sorted(placed.items(), key=lambda item: item[0][0])
    ]


class _Leaf(NamedTuple):
    """A column of texts, or one that lies in a column: its name, and the row of each text."""

    name: str
    rows: np.ndarray[Any, Any]


def _leaves(
    name: str, column: pa.Array, rows: np.ndarray[Any, Any]
) -> Iterator[tuple[pa.Array, _Leaf]]:
    """The texts of a column, as ``large_binary``."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        yield from _leaves(name, column.storage, rows)
    elif types.is_dictionary(kind):
        yield from _leaves(name, column.dictionary_decode(), rows)
    elif types.is_struct(kind):
        for field, child in zip(kind, column.flatten(), strict=True):
            yield from _leaves(f"{name}.{field.name}", child, rows)
    elif types.is_map(kind):
        pairs = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        yield from _leaves(name, column.cast(pa.list_(pairs)), rows)
    elif types.is_nested(kind):
        inner = rows[pc.list_parent_indices(column).to_numpy()]
        yield from _leaves(name, pc.list_flatten(column), inner)
    elif any(is_text(kind) for is_text in _texts()):
        yield column.cast(pa.large_binary()), _Leaf(name, rows)


def _texts() -> tuple[Callable[[pa.DataType], bool], ...]:
    import pyarrow.types as types

    return (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_binary_view,
        types.is_fixed_size_binary,
    )


def _row_name(uuids: pa.Array | None, row: int) -> str | None:
    """A row's uuid; None if it has none."""
    uuid = None if uuids is None else uuids[row].as_py()
    return uuid if isinstance(uuid, str) and _UUID.fullmatch(uuid) else None


@cache
def may_be_shown(name: str) -> bool:
    """Whether a name of a file or column holds nothing itself."""
    return not any(scan_text(name))
