"""The embedding store: a folder of Parquet files with a vector for each row id.

Each file holds a few thousand rows in two columns, `row_id` and `vector`, and says in its own
metadata which model its vectors come from. It is written beside its place and renamed into it, so
a killed process loses the file in flight and nothing else. Vectors are never Python objects: they
go from array to file and from file to array.

One process writes at a time; the caller sees to that. Any number may read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magpie_hub.errors import JournalError
from magpie_hub.files import new_file

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
"""Version of the files' layout."""

PART_ROWS = 4096
"""Rows of a file: about 6 MB at 384 numbers a vector, and a million rows are 245 files."""

_METADATA_KEY = b"magpie_hub.embeddings"


class EmbeddingStore:
    """Vectors by row id, on disk.

    Opening reads the row ids and no vector: about a second for a million rows.

    Args:
        folder: Created if missing. Holds the vectors of one model at one revision.
        model: Name of the embedding model.
        revision: Its pinned revision.
        dim: Numbers in a vector.

    Raises:
        JournalError: A Parquet file in the folder is damaged, is not of this store, or was made
            by another model; the message names it.
    """

    def __init__(self, folder: Path, model: str, revision: str, dim: int) -> None:
        self._folder, self._dim = folder, dim
        self._settings = {"format": FORMAT, "model": model, "revision": revision, "dim": dim}
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = sorted(folder.glob("*.parquet"))
        self._next = 1 + max((_number(path) for path in self._paths), default=-1)
        # Kept sorted by row id: where each row is, as the number of its file and its place there.
        self._row_ids = np.empty(0, np.int64)
        self._file = np.empty(0, np.int32)
        self._place = np.empty(0, np.int32)
        self._remember([self._read_row_ids(path) for path in self._paths])

    def __len__(self) -> int:
        return len(self._row_ids)

    def missing(self, row_ids: ArrayLike) -> NDArray[np.int64]:
        """Returns those of the row ids that have no vector yet, in the order given."""
        wanted = np.asarray(row_ids, np.int64)
        return wanted[self._find(wanted) < 0]

    def put(self, row_ids: ArrayLike, vectors: NDArray[np.float32]) -> None:
        """Stores vectors; what this returns from is on disk.

        Args:
            row_ids: Rows that have no vector yet. A call makes at least one file, so hand over
                thousands at once.
            vectors: Shape (rows, dim).

        Raises:
            ValueError: A row has a vector already or is there twice, or the shape is wrong.
            JournalError: The folder cannot be written.
        """
        fresh = np.asarray(row_ids, np.int64)
        if vectors.shape != (len(fresh), self._dim):
            raise ValueError(f"vectors have shape {vectors.shape}, not {(len(fresh), self._dim)}")
        if len(np.unique(fresh)) < len(fresh) or len(self.missing(fresh)) < len(fresh):
            raise ValueError("a row's vector is final: some of these rows have one already")
        for begin in range(0, len(fresh), PART_ROWS):
            part = fresh[begin : begin + PART_ROWS]
            self._write(part, vectors[begin : begin + PART_ROWS])
            self._remember([part])

    def load(self, row_ids: ArrayLike) -> NDArray[np.float32]:
        """Returns the vectors of rows, in the order given; memory is the result and one file.

        Args:
            row_ids: Rows that have a vector.

        Returns:
            Shape (rows, dim).

        Raises:
            KeyError: A row has no vector.
            JournalError: A file is damaged; the message names it.
        """
        wanted = np.asarray(row_ids, np.int64)
        at = self._find(wanted)
        if len(lacking := wanted[at < 0]):
            raise KeyError(f"row {lacking[0]} has no vector in {self._folder}")
        result = np.empty((len(wanted), self._dim), np.float32)
        by_file = np.argsort(self._file[at], kind="stable")
        files, starts = np.unique(self._file[at][by_file], return_index=True)
        for file, begin, end in zip(files, starts, [*starts[1:], len(at)], strict=False):
            mine = by_file[begin:end]
            result[mine] = self._read_vectors(self._paths[file])[self._place[at[mine]]]
        return result

    def _find(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns each row's place in the sorted table, -1 where it is not there."""
        at = np.searchsorted(self._row_ids, wanted)
        known = np.zeros(len(wanted), bool)
        inside = at < len(self._row_ids)
        known[inside] = self._row_ids[at[inside]] == wanted[inside]
        return np.where(known, at, -1)

    def _remember(self, parts: list[NDArray[np.int64]]) -> None:
        """Adds the last files' row ids to the table."""
        known = len(self._paths) - len(parts)
        row_ids = np.concatenate([self._row_ids, *parts])
        file = [np.full(len(part), known + n, np.int32) for n, part in enumerate(parts)]
        place = [np.arange(len(part), dtype=np.int32) for part in parts]
        order = np.argsort(row_ids, kind="stable")
        self._row_ids = row_ids[order]
        self._file = np.concatenate([self._file, *file])[order]
        self._place = np.concatenate([self._place, *place])[order]
        twice = np.flatnonzero(self._row_ids[1:] == self._row_ids[:-1])
        if len(twice):
            path = self._paths[self._file[twice[0] + 1]]
            raise JournalError(
                f"{path}: row {self._row_ids[twice[0]]} is in another file too; remove one of them."
            )

    def _write(self, row_ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        table = pa.Table.from_arrays(
            [pa.array(row_ids), pa.FixedSizeListArray.from_arrays(flat, self._dim)],
            schema=self._schema(),
        )
        path = self._folder / f"part-{self._next:05d}.parquet"
        try:
            for left in self._folder.glob(f"{path.name}.*.new"):  # by a process that was killed
                left.unlink()
            with new_file(path, sync=True) as partial:
                # Vectors do not compress; the checksums find what a disk has spoilt.
                pq.write_table(
                    table,
                    partial,
                    compression="none",
                    use_dictionary=False,
                    write_statistics=False,
                    write_page_checksum=True,
                )
        except OSError as error:
            raise JournalError(f"{path}: the embeddings cannot be written: {error}") from error
        self._next += 1
        self._paths.append(path)

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema(
            [
                pa.field("row_id", pa.int64()),
                pa.field("vector", pa.list_(pa.float32(), self._dim)),
            ],
            metadata={_METADATA_KEY: json.dumps(self._settings, sort_keys=True).encode()},
        )

    def _read_row_ids(self, path: Path) -> NDArray[np.int64]:
        with _named(path) as file:
            said = json.loads((file.schema_arrow.metadata or {}).get(_METADATA_KEY, b"null"))
            if said != self._settings:
                raise JournalError(
                    f"{path}: it holds {_described(said)}, not {_described(self._settings)}; move "
                    f"it out of this folder."
                )
            if not file.schema_arrow.equals(self._schema()):
                raise JournalError(f"{path}: it has other columns; move it out of this folder.")
            return np.asarray(file.read(["row_id"]).column(0).to_numpy(), np.int64)

    def _read_vectors(self, path: Path) -> NDArray[np.float32]:
        with _named(path) as file:
            column = file.read(["vector"]).column(0).combine_chunks()
            flat: NDArray[np.float32] = column.flatten().to_numpy()
            return flat.reshape(-1, self._dim)


@contextmanager
def _named(path: Path) -> Iterator[Any]:
    """Opens a Parquet file; whatever is wrong with it becomes an error that names it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise JournalError(
            f"{path}: the embeddings cannot be read ({said}); remove the file, and its rows are "
            f"embedded again."
        ) from error


def _number(path: Path) -> int:
    """Returns a file's number; -1 for a name that is not ours."""
    digits = path.stem.removeprefix("part-")
    return int(digits) if digits.isascii() and digits.isdigit() else -1


def _described(settings: Any) -> str:
    if not isinstance(settings, dict):
        return "no embeddings"
    return (
        f"embeddings of {settings.get('model')} at {settings.get('revision')} "
        f"(dim {settings.get('dim')}, layout {settings.get('format')})"
    )
