"""A lease: of two runners that are to do the same work, one waits.

A small file names the holder, with a counter that the holder raises every quarter of the time to
live. Clocks of machines are not compared: a lease has expired when its content has not changed for
that long by the waiting runner's own monotonic clock.

A lease saves GPU-hours; no guarantee depends on it. File systems differ in what they promise when
two write at once, and a holder that is paused may find out late that another runner has taken over:
then both work for a while. Segments do not overwrite each other,
and the Hub's `parent_commit` decides which of two commits is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from magpie_hub.checkpoint.filesystem import Filesystem
from magpie_hub.errors import OutputError, one_line

TTL = 120.0
"""Seconds without renewal after which a lease has expired."""

Say = Callable[[str], None]


class Lease:
    """One runner's claim on a name.

    Args:
        filesystem: Where the file is; used by one thread at a time.
        path: The file.
        ttl: Seconds without renewal after which a lease has expired; the same for all runners.
        say: Called with a line on each event; also from a thread.
        on_lost: Called, on a thread, when the lease is another's.
        clock: Seconds that only rise.
        sleep: Waits so many seconds.

    Attributes:
        lost: Whether another runner has taken over. This one no longer renews.
    """

    def __init__(
        self,
        filesystem: Filesystem,
        path: str,
        *,
        ttl: float = TTL,
        say: Say,
        on_lost: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.lost = False
        self._filesystem = filesystem
        self._path = path
        self._ttl = ttl
        self._say = say
        self._on_lost = on_lost
        self._clock = clock
        self._sleep = sleep
        self._id = uuid.uuid4().hex
        self._count = 0
        self._tried = False  # Whether there may be a lease of this runner's to give back.
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> None:
        """Takes the lease; waits while another runner has it, and says so once.

        Raises:
            OutputError: The file system cannot be read or written.
        """
        seen: bytes | None = None
        since, waiting = self._clock(), False
        while True:
            try:
                held = self._filesystem.read(self._path)
            except OutputError:
                if not waiting:
                    raise
                seen = None  # Unreachable, so nothing is known of the holder.
                self._sleep(self._ttl / 8)
                continue
            if held is None:
                self._tried = True
                if self._filesystem.create(self._path, self._content()) and self._settled():
                    return
                seen = None
            elif self._is_mine(held):
                return  # It was created, and the answer lost.
            elif held != seen:
                seen, since = held, self._clock()
                if not waiting:
                    self._say(self._waiting_for(held))
                waiting = True
            elif self._clock() - since >= self._ttl:
                self._tried = True
                self._filesystem.put(self._path, self._content())
                if self._settled(taken_over=True):
                    return
                seen = None
            self._sleep(self._ttl / 8)

    def keep(self) -> None:
        """Renews the lease from now on, on a thread of its own."""
        self._thread = threading.Thread(target=self._main, name="magpie-lease", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Raises the counter, unless the lease is another's by now.

        Raises:
            OutputError: The file system cannot be read or written; it may be tried again.
        """
        held = self._filesystem.read(self._path)
        if not self._is_mine(held):
            self.lost = True
            self._say(
                f"{self._filesystem.show(self._path)}: {_owner(held)} has taken the lease, since "
                "this run did not renew it in time; continuing, and the Hub decides which run "
                "publishes"
            )
            if self._on_lost is not None:
                self._on_lost()
            return
        self._count += 1
        self._filesystem.put(self._path, self._content())

    def give_back(self) -> None:
        """Ends renewing and removes the lease, if it is still this runner's."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        try:
            if self._tried and not self.lost and self._is_mine(self._filesystem.read(self._path)):
                self._filesystem.remove(self._path)
        except OutputError as error:
            if self._thread is None:
                return  # It never was this runner's, for a reason that is on its way up.
            self._say(
                f"the lease could not be released, other runs wait {self._ttl:.0f} s: {error}"
            )

    def _main(self) -> None:
        while not self.lost and not self._ending.wait(self._ttl / 4):
            # The waiting runner waits for three more tries.
            with contextlib.suppress(OutputError):
                self.renew()

    def _settled(self, taken_over: bool = False) -> bool:
        """Whether the lease is this runner's once others that wrote at the same time have, too."""
        if taken_over or not self._filesystem.sure:
            self._sleep(min(2.0, self._ttl / 8))
        return self._is_mine(self._filesystem.read(self._path))

    def _content(self) -> bytes:
        said = {"id": self._id, "host": socket.gethostname(), "process": os.getpid()}
        return json.dumps({**said, "count": self._count}).encode()

    def _is_mine(self, held: bytes | None) -> bool:
        return _read(held).get("id") == self._id

    def _waiting_for(self, held: bytes) -> str:
        return (
            f"{_owner(held)} is at work on this; waiting until it ends or is silent for "
            f"{self._ttl:.0f} s ({self._filesystem.show(self._path)})"
        )


def _owner(held: bytes | None) -> str:
    said = _read(held)
    if not said:
        return "another runner"
    process, host = (one_line(said.get(key), 100) for key in ("process", "host"))
    return f"another runner (process {process} on {host})"


def _read(held: bytes | None) -> dict[str, Any]:
    """A lease's content; empty for one that is gone, half written or not ours."""
    try:
        said = json.loads(held or b"")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
