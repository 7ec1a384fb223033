"""Columns of a Parquet file that hold what another column holds, told without unpacking them.

Equal bytes, read in an equal way, are equal values. A writer makes equal bytes of equal values, so
this finds the columns in which a format repeats itself; one that it misses is only read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_BLOCK = 1 << 20


def columns_to_read(
    path: Path, metadata: pq.FileMetaData, groups: tuple[int, ...]
) -> list[str] | None:
    """The columns of row groups, without those that repeat an earlier one row by row.

    Args:
        path: A Parquet file.
        metadata: Its footer.
        groups: Row groups; a column is left out only if it repeats the same one in all of them.

    Returns:
        Dotted paths of leaf columns; None for all columns.

    Raises:
        OSError: It cannot be read.
    """
    paths = [metadata.schema.column(at).path for at in range(metadata.num_columns)]
    if len(set(paths)) < len(paths):  # a dot in a name: which is meant cannot be said
        return None
    twins: dict[int, int] = {}
    with path.open("rb") as file:
        for number, group in enumerate(groups):
            found = _twins(file, metadata, group, twins if number else None)
            twins = (
                {at: one for at, one in twins.items() if found.get(at) == one} if number else found
            )
            if not twins:
                return None
    return [name for at, name in enumerate(paths) if at not in twins]


def _twins(
    file: BinaryIO, metadata: pq.FileMetaData, group: int, among: dict[int, int] | None
) -> dict[int, int]:
    """Columns of a row group by index, with the earlier column whose bytes they have."""
    found: dict[int, int] = {}
    first: dict[Any, list[int]] = {}
    for at in range(metadata.num_columns):
        if (looks := _looks(metadata, group, at)) is None:
            continue
        for other in first.setdefault(looks, []):
            if among is not None and among.get(at) != other:
                continue
            if _equal(file, _span(metadata, group, at), _span(metadata, group, other)):
                found[at] = other
                break
        else:
            first[looks].append(at)
    return found


def _looks(metadata: pq.FileMetaData, group: int, at: int) -> tuple[Any, ...] | None:
    """All that decides how a column's bytes are read; None if it holds no text."""
    schema, column = metadata.schema.column(at), metadata.row_group(group).column(at)
    if column.physical_type != "BYTE_ARRAY":
        return None
    begin, _ = _span(metadata, group, at)
    return (
        column.compression,
        column.encodings,
        column.num_values,
        column.total_compressed_size,
        column.total_uncompressed_size,
        column.data_page_offset - begin,
        column.has_dictionary_page,
        schema.max_definition_level,
        schema.max_repetition_level,
        str(schema.logical_type),
    )


def _span(metadata: pq.FileMetaData, group: int, at: int) -> tuple[int, int]:
    """Where a column's bytes begin, and how many there are."""
    column = metadata.row_group(group).column(at)
    begin = column.dictionary_page_offset if column.has_dictionary_page else None
    return begin or column.data_page_offset, column.total_compressed_size


def _equal(file: BinaryIO, one: tuple[int, int], other: tuple[int, int]) -> bool:
    (here, size), (there, _) = one, other
    for step in range(0, size, _BLOCK):
        length = min(_BLOCK, size - step)
        file.seek(here + step)
        block = file.read(length)
        file.seek(there + step)
        if len(block) < length or block != file.read(length):
            return False
    return True
