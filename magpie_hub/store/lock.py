"""A lock between processes of one machine: who comes second waits, and says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from magpie_hub.errors import OutputError


@contextmanager
def locked(path: Path, busy: str, say: Callable[[str], None]) -> Iterator[None]:
    """Holds a lock that dies with its process.

    Args:
        path: The lock's file; made, with its folder, if missing.
        busy: Said once if another process holds it.
        say: Takes that line.

    Raises:
        OutputError: The file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say(busy)
            lock.acquire()
    except OSError as error:
        raise OutputError(
            f"{path.parent}: this folder cannot be written ({error.strerror}); set MAGPIE_HOME to "
            "a folder that can"
        ) from error
    try:
        yield
    finally:
        lock.release()
