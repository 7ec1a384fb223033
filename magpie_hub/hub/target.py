"""Intents: what a repository shall hold, compared with what it holds.

Files are compared by the hashes that the Hub lists, so nothing is downloaded. What a person has
put beside the release stays; what lies where the release's data lies and is not part of it goes,
for `load_dataset` would read it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from magpie_hub.hub.remote import Entry, RemoteTree

Stamp = tuple[int, int, int]
"""Bytes, nanoseconds of the last change, and inode of a file."""


def stamp_of(status: os.stat_result) -> Stamp:
    """What tells that a file is no longer the one that was read."""
    return status.st_size, status.st_mtime_ns, status.st_ino


@dataclass(frozen=True)
class File:
    """A file that shall be there.

    Attributes:
        path: Where in the repository.
        source: Its content, or the file that holds it; None for a file that is nowhere but in the
            repository, as the shards are that a release adds to.
        size: Bytes.
        sha256: Of its content.
        stamp: How the source looked before it was read for that, as `stamp_of` gives it.
    """

    path: str
    source: Path | bytes | None
    size: int
    sha256: str
    stamp: Stamp | None = None

    @classmethod
    def read(cls, path: str, source: Path) -> File:
        """A file as it is now.

        Raises:
            OSError: It cannot be read.
        """
        with source.open("rb") as file:
            stamp = stamp_of(os.fstat(file.fileno()))
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path, source, stamp[0], sha256, stamp)

    @property
    def was_touched(self) -> bool:
        """Whether the source has been written to, replaced or removed since it was read."""
        if self.stamp is None or not isinstance(self.source, Path):
            return False
        try:
            return stamp_of(self.source.stat()) != self.stamp
        except OSError:
            return True

    @classmethod
    def of_text(cls, path: str, text: str) -> File:
        """A file from its text."""
        content = text.encode()
        return cls(path, content, len(content), hashlib.sha256(content).hexdigest())

    @cached_property
    def git(self) -> str:
        """Git's hash of its content."""
        digest = hashlib.sha1(b"blob %d\0" % self.size)
        if self.source is None:
            return ""
        if isinstance(self.source, bytes):
            digest.update(self.source)
        else:
            with self.source.open("rb") as file:
                while part := file.read(1 << 20):
                    digest.update(part)
        return digest.hexdigest()

    def is_at(self, entry: Entry | None) -> bool:
        """Whether a repository's file is this one."""
        if entry is None or entry.size != self.size:
            return False
        if entry.sha256 is not None:
            return entry.sha256 == self.sha256
        return entry.git == self.git


@dataclass(frozen=True, slots=True)
class TreeChange:
    """What it takes to make a repository hold an intent.

    Attributes:
        add: Files to be written.
        delete: Paths to be removed.
        same: Files that are there already.
    """

    add: tuple[File, ...]
    delete: tuple[str, ...]
    same: tuple[File, ...]

    @property
    def nothing(self) -> bool:
        """Whether the repository holds the intent."""
        return not self.add and not self.delete

    @property
    def bytes_new(self) -> int:
        """Bytes of the files to be written; with Xet, fewer are sent."""
        return sum(file.size for file in self.add)

    @property
    def bytes_reused(self) -> int:
        """Bytes of the files that are there already."""
        return sum(file.size for file in self.same)


def change(
    target: Mapping[str, File], remote: RemoteTree | None, owned: Iterable[str] = ()
) -> TreeChange:
    """Compares an intent with a repository.

    Args:
        intent: Files by path.
        remote: The repository; None for an empty one.
        owned: Paths that an earlier release put there.
    """
    there = remote.files if remote is not None else {}
    add: list[File] = []
    same: list[File] = []
    for path, file in target.items():
        (same if file.is_at(there.get(path)) else add).append(file)
    folders = {path.rsplit("/", 1)[0] + "/" for path in target if path.startswith("data/")}
    mine = set(owned)
    delete = tuple(
        path
        for path in sorted(there)
        if path not in target and (path in mine or path.startswith(tuple(folders)))
    )
    return TreeChange(tuple(add), delete, tuple(same))
