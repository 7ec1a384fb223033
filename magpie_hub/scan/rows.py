"""Parquet files to findings, a batch of rows at a time.

All text is scanned, however deep it lies: strings and binary values, in lists, structs and maps.
What is there again is looked at once: a column whose bytes are those of an earlier one is not even
unpacked, equal texts of a batch are one, and a text in which nothing was found (`data/raw` and
`data/sharegpt` have the texts of `data/default`) is known by its hash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from magpie_hub.scan.same_columns import columns_to_read
from magpie_hub.scan.text import find, scan_text, suspects
from magpie_hub.scan.text_cache import TextCache

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BATCH = 2_000
BATCH_BYTES = 16 * 1024**2
"""Bounds of a batch."""
HELD_BYTES = 16 * 1024**2
"""Texts that are looked at in one go: making ready for it takes as long as a megabyte."""
KEPT = 8_000_000
"""Characters of texts that are searched at a time."""
PART_BYTES = 64 * 1024**2
"""About what a part holds, uncompressed."""

_NONE, _SHORT = -1, -2
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


def scan_rows(part: Part, seen: TextCache | None = None) -> Iterator[Found]:
    """Scans rows.

    Args:
        part: Which.
        seen: Texts that need not be looked at; those that are harmless are put there.

    Yields:
        What is found, row by row, each value of a row once, in the first column that has it.

    Raises:
        OSError, pyarrow.ArrowException: They cannot be read.
    """
    import pyarrow.parquet as pq

    seen = TextCache() if seen is None else seen
    held: list[_Batch] = []
    kept: list[_Text] = []
    batch_rows = max(1, min(BATCH, BATCH_BYTES * part.rows // max(1, part.size)))
    with pq.ParquetFile(part.path) as file:
        columns = columns_to_read(part.path, file.metadata, part.groups)
        first = part.first
        for batch in file.iter_batches(
            batch_rows, list(part.groups), columns=columns, use_threads=False
        ):
            held.append(_take(batch, first, seen))
            first += batch.num_rows
            if sum(one.size for one in held) > HELD_BYTES:
                kept += _suspects(held, seen)
                held = []
            # Searching many at a time spreads the cost of making ready for it.
            if sum(len(text.text) for text in kept) > KEPT:
                yield from _search(kept)
                kept = []
    yield from _search(kept + _suspects(held, seen))


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


@dataclass(frozen=True, slots=True)
class _Batch:
    """The texts of a batch, each once, and where they stand.

    Attributes:
        texts: Those that are not known to be harmless, as ``large_binary``.
        digests: Of the first of them, which are long enough to be remembered.
        which: For each place in the batch, column after column, the index of its text; -1 if it is
            none of these.
        leaves: The columns.
        uuids: The rows' names, if they have any.
        first: Index of the first row in the file.
    """

    texts: pa.ChunkedArray
    digests: list[bytes]
    which: np.ndarray[Any, Any]
    leaves: list[_Leaf]
    uuids: pa.Array | None
    first: int

    @property
    def size(self) -> int:
        """Bytes of the texts."""
        return int(self.texts.nbytes)


def _take(batch: pa.RecordBatch, first: int, seen: TextCache) -> _Batch:
    """What of a batch is to be looked at."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = np.arange(batch.num_rows)
    leaves: list[_Leaf] = []
    places: list[np.ndarray[Any, Any]] = []
    digests: dict[bytes, int] = {}
    taken, short = [], [pa.array([], pa.large_binary())]
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        for texts, leaf in _leaves(name, column, rows):
            which = np.full(len(texts), _SHORT)
            new = []
            for at, digest in seen.digests(texts):
                if digest in seen:
                    which[at] = _NONE
                    continue
                if digest not in digests:
                    digests[digest] = len(digests)
                    new.append(at)
                which[at] = digests[digest]
            is_short = which == _SHORT
            taken.append(texts if len(new) == len(texts) else texts.take(pa.array(new, pa.int64())))
            short.append(texts if is_short.all() else texts.filter(pa.array(is_short)))
            leaves.append(leaf)
            places.append(which)
    encoded = pa.concat_arrays(short).dictionary_encode()
    index = pc.add(encoded.indices.cast(pa.int64()), len(digests))
    which = np.concatenate([np.empty(0, int), *places])
    which[which == _SHORT] = pc.fill_null(index, _NONE).to_numpy()
    return _Batch(
        pa.chunked_array([*taken, encoded.dictionary], pa.large_binary()),
        list(digests),
        which,
        leaves,
        batch.column("uuid") if "uuid" in batch.schema.names else None,
        first,
    )


def _suspects(held: list[_Batch], seen: TextCache) -> list[_Text]:
    """The texts that may hold something, row by row, each text of a row once."""
    import numpy as np
    import pyarrow as pa

    if not held:
        return []
    texts = [chunk for batch in held for chunk in batch.texts.chunks]
    found = np.array(suspects(pa.concat_arrays(texts)), int)
    kept: list[_Text] = []
    begin = 0
    for batch in held:
        end = begin + len(batch.texts)
        mine = found[(found >= begin) & (found < end)] - begin
        begin = end
        bad = set(mine.tolist())
        seen.add(digest for at, digest in enumerate(batch.digests) if at not in bad)
        kept += _places(batch, mine)
    return kept


def _places(batch: _Batch, texts: np.ndarray[Any, Any]) -> list[_Text]:
    """Where texts of a batch stand, each once a row, in the first column that has it."""
    import numpy as np

    ends = np.cumsum([len(leaf.rows) for leaf in batch.leaves])
    placed: dict[tuple[int, int], str] = {}
    for at in np.flatnonzero(np.isin(batch.which, texts)) if len(texts) else ():
        column = int(np.searchsorted(ends, at, side="right"))
        leaf = batch.leaves[column]
        row = int(leaf.rows[at - int(ends[column])])  # counted from the column's end
        placed.setdefault((row, int(batch.which[at])), leaf.name)
    return [
        _Text(_row_name(batch, row), name, batch.texts[text].as_py().decode(errors="replace"))
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


def _row_name(batch: _Batch, row: int) -> str:
    """A row's uuid; its number in the file if it has none."""
    if batch.uuids is not None:
        uuid = batch.uuids[row].as_py()
        if isinstance(uuid, str) and _UUID.fullmatch(uuid):
            return uuid
    return str(batch.first + row)


@cache
def may_be_shown(name: str) -> bool:
    """Whether a name of a file or column holds nothing itself."""
    return not any(scan_text(name))
