"""A lock between processes of one machine: the second one waits, and prints why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from magpie_hub.errors import OutputError


@contextmanager
def locked(path: Path, busy: str, say: Callable[[str], None]) -> Iterator[None]:
    """Holds a lock that ends with its process.

    Args:
        path: The lock's file; created with its folder if missing.
        busy: The line for the user if another process holds the lock.
        say: Takes that line, once.

    Raises:
        OutputError: The file cannot be created.
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
