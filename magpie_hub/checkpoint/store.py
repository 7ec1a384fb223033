"""The checkpoints of one dataset by tick, and the lease of the runner at work on it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from magpie_hub.checkpoint.autosave import Autosave
from magpie_hub.checkpoint.filesystem import Filesystem
from magpie_hub.checkpoint.lease import TTL, Lease, Say
from magpie_hub.checkpoint.save import Checkpoint
from magpie_hub.errors import UserError

EVERY = 60.0
"""Seconds between two saves."""

_LEASE = "lease.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class CheckpointStore:
    """What is saved of one dataset beyond this machine.

    Args:
        url: "s3://bucket/path", "hf://buckets/NS/NAME/path", "file:///mnt/x", "memory://x", or a
            plain folder.
        name: The dataset's name, of letters, digits, `.`, `_` and `-`: "tester--magpie-smol".

    Attributes:
        shown: The URL without credentials.

    Raises:
        UserError: The URL's file system is not installed, or a name is not one.
    """

    def __init__(self, url: str, name: str) -> None:
        self._name = _checked(name, "the dataset's name")
        self._filesystem = Filesystem(url)
        self._writer = uuid.uuid4().hex[:12]
        self._checkpoints: dict[tuple[Path, str, int], Checkpoint] = {}
        self._lease: Lease | None = None
        self.shown = self._filesystem.shown

    @property
    def lost(self) -> bool:
        """Whether another runner has taken the lease over; see `magpie_hub.checkpoint.lease`."""
        return self._lease is not None and self._lease.lost

    @contextmanager
    def lease(
        self, say: Say, *, ttl: float = TTL, on_lost: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Holds the lease: other runners of this dataset wait, or this one waits for its holder.

        Args:
            say: Called with a line on each event; also from a thread.
            ttl: Seconds without renewal after which a lease has expired; the same for all runners.
            on_lost: Called, on a thread, when another runner has taken over.

        Raises:
            UserError: The file system cannot be reached or written.
        """
        path = f"{self._name}/{_LEASE}"
        self._lease = Lease(self._filesystem.twin(), path, ttl=ttl, say=say, on_lost=on_lost)
        try:
            self._lease.take()
            self._lease.keep()
            yield
        finally:
            self._lease.give_back()

    def restore(self, folder: Path, tick: str, first_row: int, say: Say = lambda text: None) -> int:
        """Merges a tick's checkpoint into the journal on this machine; what is there stays.

        Args:
            folder: The journal's folder; made if there is something to restore.
            tick: The tick's id, of the same letters as a name.
            first_row: Lower rows are left out.
            say: Called with a line if another process on this machine must end first.

        Returns:
            Rows of which something was brought back; 0 if nothing was.

        Raises:
            UserError: The file system cannot be read, or the folder cannot be written.
            JournalError: A segment is torn or foreign; the message names it.
        """
        return self._checkpoint(folder, tick, first_row).restore(self._filesystem, say)

    @contextmanager
    def keeping(
        self, folder: Path, tick: str, first_row: int, *, every: float = EVERY, say: Say
    ) -> Iterator[None]:
        """Saves in the background what is new in a journal, and once more at the end.

        After `restore`, what is saved already is not saved again. A file system that cannot be
        written stops nothing: `say` is called, and once more if the last save failed.

        Args:
            folder: The journal's folder.
            tick: The tick's id.
            first_row: Lower rows are not kept.
            every: Seconds between two saves.
            say: Called with a line on each failure; from a thread.
        """
        checkpoint = self._checkpoint(folder, tick, first_row)
        filesystem = self._filesystem.twin()
        autosave = Autosave(lambda: checkpoint.save(filesystem), every, say, str(folder))
        autosave.start()
        try:
            yield
        finally:
            autosave.stop()

    def clear(self, tick: str) -> None:
        """Removes a tick's checkpoint.

        Raises:
            UserError: It cannot be removed.
        """
        self._filesystem.remove(f"{self._name}/{_checked(tick, 'the tick')}")
        self._checkpoints = {key: one for key, one in self._checkpoints.items() if key[1] != tick}

    def _checkpoint(self, folder: Path, tick: str, first_row: int) -> Checkpoint:
        key = (folder, _checked(tick, "the tick"), first_row)
        if key not in self._checkpoints:
            path = f"{self._name}/{tick}/{folder.name}"
            self._checkpoints[key] = Checkpoint(folder, tick, path, first_row, self._writer)
        return self._checkpoints[key]


def _checked(name: str, what: str) -> str:
    if _NAME.fullmatch(name) is None or name.endswith(".json"):
        raise UserError(
            f"{what} is {name!r}: it becomes a file name, so it begins with a letter or digit and "
            "has at most 128 letters, digits and . _ - (A-Z, a-z), and no .json at its end"
        )
    return name
