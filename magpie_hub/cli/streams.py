"""The command's streams, even if they are closed, full, or of another encoding.

Messages for the user that cannot be written are dropped, and the work continues. A result that
cannot be written to stdout ends the command with one line.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any


class Forgiving(io.FileIO):
    """A stream for messages: what cannot be written is dropped."""

    def write(self, data: Any, /) -> int:
        """Writes what it can; returns the full length."""
        try:
            return super().write(data) or 0
        except OSError:
            return len(memoryview(data).cast("B"))


class Noting(io.FileIO):
    """A stream for results: remembers why they could not be written.

    Attributes:
        error: The first error.
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Writes."""
        try:
            return super().write(data) or 0
        except OSError as error:
            self.error = self.error or error
            raise


def terminal(descriptor: int, *, close: bool = False) -> io.TextIOWrapper:
    """A line-buffered text stream for messages, on a file descriptor."""
    return io.TextIOWrapper(
        io.BufferedWriter(Forgiving(descriptor, "wb", closefd=close)),
        encoding="utf-8",
        errors="replace",
        write_through=True,
        line_buffering=True,
    )


def secure() -> None:
    """Makes stdout and stderr writable.

    A closed one is pointed at the null device. If it were left closed, the next file that is opened
    would get its descriptor, and its output.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest one that is free, so this one.
            os.open(os.devnull, os.O_RDWR)
    if _is_own(sys.stdout, 1):
        said = sys.stdout.encoding if sys.stdout is not None else "utf-8"
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(Noting(1, "wb", closefd=False)),
            encoding=said,
            errors="replace",
            line_buffering=os.isatty(1),
        )
    if _is_own(sys.stderr, 2):
        said = sys.stderr.encoding if sys.stderr is not None else "utf-8"
        sys.stderr = terminal(2)
        sys.stderr.reconfigure(encoding=said, errors="replace")


def _is_own(stream: Any, descriptor: int) -> bool:
    """Whether a stream is the process's own, not a replacement set by a caller."""
    if stream is None:
        return True
    try:
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == descriptor
    except (OSError, ValueError):
        return False


def stdout_error() -> OSError | None:
    """The error that keeps stdout from being written, if there is one."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.error if isinstance(raw, Noting) else None


def drop_stdout() -> None:
    """Discards what is left for stdout, so that Python does not try to write it at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
