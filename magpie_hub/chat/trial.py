"""A template's trial: it is rendered first in a process of its own, with limits, then here.

A chat template is a program from a third party. Its sandbox keeps it from files and from nothing
else: it may loop for ever, or write gigabytes. Some of that cannot be interrupted (one
multiplication of a string is one step), so only another process can be ended. A template that ends
there ends here too, since it does the same.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress

from magpie_hub.errors import ChatFormatError

SECONDS = 20.0
"""A usual template takes a tenth of a second."""

MEMORY = 2**30
"""Bytes that it may take beyond what this process has."""

_TOO_LARGE = 77
_running: set[int] = set()
_lock = threading.Lock()


def try_out(work: Callable[[], object], seconds: float = SECONDS) -> None:
    """Does something in a fork of this process, to see whether it ends.

    Other errors are raised later, when the work is done in this process. Only on Linux: where a
    fork is not safe, nothing is tried.

    Args:
        work: The work to try; what it returns or changes is lost.
        seconds: How long it may take.

    Raises:
        ChatFormatError: It takes more time, or more memory than `MEMORY`.
    """
    if sys.platform != "linux":
        return
    # The tokenizers' library warns of forks, unless it is told whether to use threads.
    said = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    reader, writer = os.pipe()
    try:
        with warnings.catch_warnings():
            # The child does nothing that other threads' locks could hold up.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            _as_child(work)
    finally:
        os.close(writer)
        if said is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = said
    with _lock:
        _running.add(child)
    try:
        # The child's end of the pipe closes with it; an interrupt ends the wait.
        end = select.poll()
        end.register(reader, select.POLLIN | select.POLLHUP)
        ended = bool(end.poll(seconds * 1000))
    finally:
        os.close(reader)
        with _lock:
            _running.discard(child)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not ended:
        raise ChatFormatError(f"the chat template does not come to an end in {seconds:g} seconds")
    if status == _TOO_LARGE:
        raise ChatFormatError(f"the chat template takes more than {MEMORY >> 20} MiB of memory")
    if status not in (0, 1):
        raise ChatFormatError("the chat template's trial was ended from outside")


def give_up() -> None:
    """Ends the trials of all threads; the waiting calls raise `ChatFormatError`."""
    with _lock:
        for child in _running:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def _as_child(work: Callable[[], object]) -> None:
    """Does the work within bounds, and ends the process without anything else."""
    status = _TOO_LARGE + 1
    try:
        import resource

        # An interrupt is the parent's to answer.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with open("/proc/self/statm") as sizes:
            most = int(sizes.read().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        # In case the parent is gone and cannot end it.
        resource.setrlimit(resource.RLIMIT_CPU, (2 * int(SECONDS), 2 * int(SECONDS) + 1))
        work()
        status = 0
    except MemoryError:
        status = _TOO_LARGE
    except Exception:  # noqa: BLE001 - the real call raises it again, with a message
        status = 1
    finally:
        os._exit(status)
