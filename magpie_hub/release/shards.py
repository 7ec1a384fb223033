"""Shards: Parquet files of a release, read as what others may have written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError, one_line

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def reading(shown: object, *, remote: bool = False) -> Iterator[None]:
    """Says in a line what is wrong with a Parquet file that is read inside.

    Args:
        shown: What to call it.
        remote: Whether it comes over a network, whose own errors are left alone.

    Raises:
        UserError: It cannot be read.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError) as error:
        # OSError is what Arrow makes of a damaged page, and what a client makes of its network.
        if remote and not isinstance(error, pa.ArrowException):
            raise
        raise UserError(f"{shown}: it is not a shard that can be read: {one_line(error)}") from None


def count_rows(
    shard: Any,
    schema: pa.Schema | None = None,
    *,
    shown: object = None,
    remote: bool = False,
) -> int:
    """Rows of a shard, from its footer.

    Args:
        shard: Its path, or an open file.
        schema: The columns that it is to have; None for any.
        shown: What to call it in a message; its path by default.
        remote: As in `reading`.

    Raises:
        UserError: It is no Parquet file, or has other columns.
    """
    import pyarrow.parquet as pq

    shown = shown or shard
    with reading(shown, remote=remote), pq.ParquetFile(shard) as file:
        found, rows = file.schema_arrow, int(file.metadata.num_rows)
    if schema is not None and not found.equals(schema):
        other = sorted({*found.names} ^ {*schema.names}) or ["their types or order"]
        raise UserError(
            f"{shown}: its columns are not those that this version of magpie-hub writes "
            f"({one_line(', '.join(other[:5]))}); build the release again, which generates nothing"
        )
    return rows
