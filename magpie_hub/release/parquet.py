"""Rows to Parquet shards, as a publisher of datasets wants them.

zstd; a page index, by which the Hub's viewer reads a few rows without their row group;
content-defined chunking, by which a re-upload sends what changed and not what moved; bounded
shards, named ``train-00000-of-000NN.parquet``.

A row group is encoded and compressed on a thread while the next is collected, so that memory holds
two. Row groups are large, because a row that moves into another one moves the pages at its ends.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1_000
"""Rows of which a row group is a multiple, but for the last."""

GROUP_BYTES = 64 * 1024**2
"""A row group ends with the batch that takes it beyond this, before compression; the Hub's viewer
reads up to 286 MiB."""

SHARD_BYTES = 256 * 1024**2
"""Upper bound of a shard; the Hub's viewer advises 100 to 300 MB."""


class Shards:
    """Shards while they are written; a context manager, at whose end they have their names.

    What is in the files depends on the rows alone, not on the tables that they come in.

    Args:
        schema: The rows' columns.
        folder: Created if missing; holds nothing else of that split.
        split: Beginning of the file names.
        before: Shards that come before these, and lie elsewhere.

    Attributes:
        paths: The shards in order, once they are written; one without rows if there are no rows.
    """

    def __init__(
        self, schema: pa.Schema, folder: Path, split: str = "train", before: int = 0
    ) -> None:
        self.paths: list[Path] = []
        self._schema = schema
        self._folder = folder
        self._split = split
        self._before = before
        self._loose: list[pa.Table] = []
        self._batches: list[pa.Table] = []
        self._bytes = 0
        self._thread = ThreadPoolExecutor(1, "shards")
        self._written: Future[None] | None = None
        self._parts: list[Path] = []
        self._part = contextlib.ExitStack()
        self._file: Any = None
        self._writer: Any = None

    def __enter__(self) -> Shards:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._thread.shutdown()
            self._part.close()
        if error is None:
            self._name()

    def add(self, table: pa.Table) -> None:
        """Takes rows.

        Args:
            table: Any number of them, with the columns of the schema.

        Raises:
            OSError: Rows that came earlier cannot be written.
        """
        import pyarrow as pa

        if len(table):
            self._loose.append(table)
        if sum(map(len, self._loose)) < BATCH:
            return
        rows = pa.concat_tables(self._loose)
        whole = len(rows) - len(rows) % BATCH
        for first in range(0, whole, BATCH):
            self._collect(rows.slice(first, BATCH).combine_chunks())
        self._loose = [rows.slice(whole)] if whole < len(rows) else []

    def _collect(self, batch: pa.Table) -> None:
        self._batches.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= GROUP_BYTES:
            self._end_group()

    def _end_group(self) -> None:
        import pyarrow as pa

        group = pa.concat_tables(self._batches)
        self._batches, self._bytes = [], 0
        self._wait()
        self._written = self._thread.submit(self._write, group)

    def _wait(self) -> None:
        if self._written is not None:
            self._written.result()

    def _finish(self) -> None:
        import pyarrow as pa

        if self._loose:
            self._collect(pa.concat_tables(self._loose).combine_chunks())
        if self._batches:
            self._end_group()
        self._wait()
        if not self._parts:
            self._open_part()

    def _write(self, group: pa.Table) -> None:
        if self._file is None or self._file.tell() >= SHARD_BYTES:
            self._open_part()
        self._writer.write_table(group, row_group_size=max(1, group.num_rows))

    def _open_part(self) -> None:
        """Ends the shard that is open, and begins the next."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._part.close()
        self._parts.append(self._folder / f"{self._split}-{len(self._parts):05d}.part")
        # Not Python's own, or the thread would wait for the interpreter at every page.
        self._file = self._part.enter_context(pa.OSFile(str(self._parts[-1]), "wb"))
        self._writer = self._part.enter_context(
            pq.ParquetWriter(
                self._file,
                self._schema,
                compression="zstd",
                write_page_index=True,
                use_content_defined_chunking=True,
            )
        )

    def _name(self) -> None:
        """Names the shards; a name says how many there are."""
        end = self._before + len(self._parts)
        for index, part in enumerate(self._parts, self._before):
            path = self._folder / f"{self._split}-{index:05d}-of-{end:05d}.parquet"
            part.rename(path)
            self.paths.append(path)
