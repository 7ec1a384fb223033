"""The shard cache: the parts of published shards that this machine needs to add rows to them.

A published dataset is not downloaded to add rows to it. The first instructions of each shard, and
the columns that statistics are counted in, are kept in a Parquet file named after the shard's
SHA-256. So each machine reads a shard once, and never downloads one that it wrote itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.files import new_file
from magpie_hub.paths import SHARDS
from magpie_hub.store.rows import digest

if TYPE_CHECKING:
    import numpy as np

NAMES = ("uuid", "instruction")
"""Columns that identify published rows."""

BATCH = 10_000

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class CachedShard:
    """A shard in the cache.

    Attributes:
        path: A Parquet file with some of its columns, row for row.
        sha256: Of the shard as it is published.
        rows: Its rows.
    """

    path: Path
    sha256: str
    rows: int

    def instructions(self) -> Iterator[tuple[str, str]]:
        """(uuid, first instruction) of every row, in order."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(BATCH, columns=list(NAMES)):
                uuids, texts = (batch.column(name).to_pylist() for name in NAMES)
                yield from zip(uuids, texts, strict=True)


class ShardCache:
    """The folder of all cached shards.

    Args:
        home: The folder that holds it.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / SHARDS

    def find(
        self, sha256: str, columns: Iterable[str] = (), rows: int | None = None
    ) -> CachedShard | None:
        """A shard by its hash, if it is here.

        Args:
            sha256: Its hash.
            columns: The columns that are needed, a struct's field after a dot.
            rows: Rows that it should have; None for any number.

        Returns:
            None if it is not here, is damaged, or is another shard: it can be read again.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._path(sha256)
        try:
            found = pq.read_metadata(path)
        except (OSError, pa.ArrowInvalid):
            return None
        leaves = [found.schema.column(n).path for n in range(len(found.schema.names))]
        if rows not in (None, found.num_rows):
            return None
        if not all(any(_within(leaf, (name,)) for leaf in leaves) for name in columns):
            return None
        return CachedShard(path, sha256, found.num_rows)

    def drop(self, sha256: str) -> None:
        """Removes a shard from the cache."""
        self._path(sha256).unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        # The name becomes a path, so it must be nothing but a hash.
        if _SHA256.fullmatch(sha256) is None:
            raise ValueError(f"{sha256!r} is no SHA-256, by which a shard is named")
        return self.folder / f"{sha256}.parquet"

    def put(self, sha256: str, shard: Any, columns: Iterable[str]) -> CachedShard:
        """Stores the needed columns of a shard.

        Args:
            sha256: Its hash.
            shard: Its path, or an open file of any kind that can seek.
            columns: Columns to keep, a struct's field after a dot; what it lacks is left out.
        """
        import pyarrow.parquet as pq

        path, wanted = self._path(sha256), tuple(columns)
        with new_file(path) as partial, pq.ParquetFile(shard, pre_buffer=True) as file:
            leaves = [file.schema.column(n).path for n in range(len(file.schema.names))]
            kept = [leaf for leaf in leaves if _within(leaf, wanted)]
            # Reading no row group gives the columns of a shard without rows.
            with pq.ParquetWriter(
                partial, file.read_row_groups([], kept).schema, compression="zstd"
            ) as writer:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group, kept))
            rows = file.metadata.num_rows
        return CachedShard(path, sha256, rows)


class Digests:
    """The digests of published first instructions: 16 bytes each, however many.

    Args:
        shards: Shards with instructions.
    """

    def __init__(self, shards: Sequence[CachedShard]) -> None:
        import numpy as np

        packed = b"".join(digest(text) for shard in shards for _, text in shard.instructions())
        pairs: np.ndarray[Any, Any] = np.frombuffer(packed, ">u8").reshape(-1, 2)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        self._high = pairs[order, 0].astype("u8")
        self._low = pairs[order, 1].astype("u8")

    def __contains__(self, wanted: object) -> bool:
        if not isinstance(wanted, bytes):
            return False
        high, low = int.from_bytes(wanted[:8], "big"), int.from_bytes(wanted[8:], "big")
        key = self._high.dtype.type(high)
        begin, end = self._high.searchsorted(key), self._high.searchsorted(key, "right")
        return bool((self._low[begin:end] == low).any())

    def __len__(self) -> int:
        return len(self._high)


def _within(leaf: str, wanted: Iterable[str]) -> bool:
    return any(leaf == name or leaf.startswith(f"{name}.") for name in wanted)
