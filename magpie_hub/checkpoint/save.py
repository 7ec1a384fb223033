"""The checkpoint of one journal's folder in one tick: saving what is new, and restoring it.

One thread uses a checkpoint at a time. The journal is read through read-only connections, while
another thread may write it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sqlite3
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from magpie_hub.checkpoint import delta, segment
from magpie_hub.checkpoint.filesystem import NEW, Filesystem
from magpie_hub.errors import JournalError, one_line
from magpie_hub.store.journal import FIRST, Journal, writer_lock
from magpie_hub.store.labels import Labels
from magpie_hub.store.sqlite import Database

ROWS = 5000
"""Most rows of a segment, so that none grows large: 5 MB at a kilobyte a row."""

LABELS = "labels.db"
"""Where labels wait until all turns are merged: a turn may come after its label, when it replaced a
deferred one while that was being saved."""

_NAME = re.compile(r"(\d{6,})-[0-9a-f]{12}\.segment")

Meta = dict[str, str]
"""Facts about a journal's file, as it has them."""


class _Made(NamedTuple):
    """A segment.

    Attributes:
        data: Its bytes.
        rows: How many turns and labels it has.
        moved: Whether a turn that was to be copied had been replaced by then.
        metas: The facts in it, by file.
    """

    data: bytes
    rows: int
    moved: bool
    metas: dict[str, Meta]


class Checkpoint:
    """The checkpoint of one journal's folder in one tick.

    Args:
        folder: The journal's folder on this machine.
        tick: The tick's id.
        path: Where the segments are, in the file system that `save` and `restore` are given.
        first_row: Lower rows are not kept.
        writer: Random id of this runner, 12 hexadecimal digits: two runners' segments have
            different names.
    """

    def __init__(self, folder: Path, tick: str, path: str, first_row: int, writer: str) -> None:
        self._folder = folder
        self._path = path
        self._first_row = first_row
        self._writer = writer
        self._about = {"format": segment.FORMAT, "journal": folder.name, "tick": tick}
        self._db = segment.open_in_memory()
        weakref.finalize(self, self._db.close)
        self._number = 0
        self._meta: dict[str, Meta] = {}  # As the segments have it, by file.

    def save(self, filesystem: Filesystem) -> int:
        """Saves what is new since the last save; nothing is written if nothing is.

        Returns:
            How many turns and labels were saved.

        Raises:
            OutputError: The file system cannot be written. What was written stays; the rest is
                saved the next time.
            JournalError: The journal cannot be read.
        """
        saved, moved = 0, True
        while moved:
            moved = False
            files, metas = self._look()
            while (made := self._pack(files, metas)) is not None:
                self._number += 1
                filesystem.write(
                    f"{self._path}/{self._number:06d}-{self._writer}.segment", made.data
                )
                self._db.execute("INSERT INTO saved SELECT file, id FROM taken")
                self._meta |= made.metas
                saved += made.rows
                moved |= made.moved
        return saved

    def _look(self) -> tuple[list[str], dict[str, Meta]]:
        """Notes what is new; returns the files and their facts."""
        with self._guard("no checkpoint can be made"):
            files = segment.files_in(self._folder)
            self._db.execute("DELETE FROM fresh")
            metas = {}
            # What rests on a turn is looked for before turns are, so that its turn is saved too.
            for file in reversed(files):
                with self._attached(file):
                    metas[file] = delta.find_fresh(self._db, file, self._first_row)
            return files, metas

    def _pack(self, files: list[str], metas: dict[str, Meta]) -> _Made | None:
        """Makes the next segment; None if nothing is new."""
        taken, copied, told = 0, 0, {}
        with self._guard("no checkpoint can be made"), _scratch() as scratch:
            self._db.execute("DELETE FROM taken")
            for file in files:
                of_file = delta.take(self._db, file, ROWS - taken)
                # A file without rows of this tick is not kept, so neither are its facts.
                if of_file or metas[file] != self._meta.get(file, metas[file]):
                    told[file] = metas[file]
                taken += of_file
            if not told:
                return None
            path = scratch / "segment.db"
            with segment.attached(self._db, "rwc", segment=path):
                segment.lay_out(self._db, self._about)
                for file, meta in told.items():
                    with self._attached(file):
                        copied += delta.copy_rows(self._db, file)
                    delta.copy_meta(self._db, file, meta)
            return _Made(segment.pack(path), copied, copied < taken, told)

    def restore(self, filesystem: Filesystem, say: Callable[[str], None]) -> int:
        """Merges the segments into the journal on this machine; what is there stays.

        Args:
            filesystem: Where the segments are.
            say: Called with a line if another process on this machine must end first.

        Returns:
            Rows of which something was brought back.

        Raises:
            OutputError: The file system cannot be read, or the journal's folder cannot be written.
            JournalError: A segment is torn or is none of this journal's; the message names it.
        """
        names = self._segments(filesystem)
        if not names:
            return 0
        found: set[int] = set()
        with (
            self._guard("its checkpoint cannot be restored"),
            writer_lock(self._folder, say),
            contextlib.ExitStack() as stack,
            _scratch() as scratch,
        ):
            here: dict[str, Database] = {}

            def open_once(file: str) -> Database:
                if file not in here:
                    here[file] = stack.enter_context(_open_file(self._folder, file))
                return here[file]

            open_once(FIRST)
            for name in names:
                found |= self._merge(filesystem, f"{self._path}/{name}", open_once, scratch)
            found |= self._merge_files(filter(segment.holds_labels, here), scratch / LABELS)
            for file, meta in self._meta.items():
                for key, value in meta.items():
                    if here[file].meta(key) is None:
                        here[file].set_meta(key, json.loads(value))
        self._number = max(self._number, _number(names[-1]))
        return len(found)

    def _segments(self, filesystem: Filesystem) -> list[str]:
        """Names of the segments, in the order in which they were made."""
        names = []
        for name in filesystem.files(self._path):
            if _NAME.fullmatch(name.removesuffix(NEW)) is None:
                raise _refusal(
                    filesystem.show(f"{self._path}/{name}"), "its name is not one of ours"
                )
            if not name.endswith(NEW):
                names.append(name)
        return sorted(names, key=lambda name: (_number(name), name))

    def _merge(
        self, filesystem: Filesystem, path: str, open_once: Callable[[str], Database], scratch: Path
    ) -> set[int]:
        """Merges a segment's turns, and puts its labels by; returns rows brought back."""
        data, shown = filesystem.read(path), filesystem.show(path)
        if data is None:
            raise JournalError(f"{shown}: it was removed while it was read; run again")
        unpacked = scratch / "segment.db"
        try:
            segment.unpack_segment(data, unpacked)
            with segment.attached(self._db, "ro", segment=unpacked):
                files = segment.files_of(self._db, self._about)
                metas = {file: segment.meta_of(self._db, file) for file in files}
            for file, meta in metas.items():
                if meta.get("format") != str(open_once(file).meta("format")):
                    raise ValueError(f"{file} has layout {meta.get('format')}")
        except (ValueError, sqlite3.DatabaseError) as error:
            raise _refusal(shown, str(error)) from None
        try:
            found = self._merge_files(itertools.filterfalse(segment.holds_labels, files), unpacked)
            with (
                segment.attached(self._db, "ro", segment=unpacked),
                segment.attached(self._db, "rwc", stash=scratch / LABELS),
            ):
                delta.stash_labels(self._db)
        except sqlite3.DatabaseError as error:
            raise JournalError(f"{shown}: cannot be merged into {self._folder}: {error}") from error
        self._meta |= metas
        return found

    def _merge_files(self, files: Iterable[str], path: Path) -> set[int]:
        """Merges what a segment's file has of some files of the journal."""
        found: set[int] = set()
        for file in files:
            with (
                segment.attached(self._db, "ro", segment=path),
                self._attached(file, "rw"),
                segment.transaction(self._db),
            ):
                found |= delta.merge(self._db, file, self._first_row)
        return found

    def _attached(self, file: str, mode: str = "ro") -> contextlib.AbstractContextManager[None]:
        """Attaches a file of the journal, and its first turns where these are in another."""
        first = None if file == FIRST else self._folder / FIRST
        schema = "source" if mode == "ro" else "journal"
        return segment.attached(self._db, mode, **{schema: self._folder / file, "first": first})

    @contextmanager
    def _guard(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            raise JournalError(f"{self._folder}: {what}: {error}") from error


def _open_file(folder: Path, name: str) -> Database:
    """Opens a file for writing; made if missing.

    Raises:
        OutputError: It cannot be made.
        JournalError: It has another layout, or is damaged.
    """
    return (Labels if segment.holds_labels(name) else Journal)(folder / name)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="magpie-state-") as folder:
        yield Path(folder)


def _number(name: str) -> int:
    """A segment's number: higher than of those that its runner had seen."""
    return int(name.partition("-")[0])


def _refusal(shown: str, why: str) -> JournalError:
    return JournalError(
        f"{one_line(shown)}: a torn or foreign segment ({one_line(why)}); remove it, and what it "
        "held is generated again"
    )
