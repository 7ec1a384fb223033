"""The files of a journal's folder that a checkpoint keeps, in the order of what rests on what.

A file's name is its path in the folder: `first.db`, `later-….db`, `labels/….db`. Later turns and
labels belong to first turns, so those come first. Embeddings, locks and half-made files are none of
a checkpoint's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from magpie_hub.store.journal import FIRST, Journal
from magpie_hub.store.labels import Labels
from magpie_hub.store.sqlite import Database

_KINDS = (r"first\.db", r"later-[\w-]+\.db", r"labels/\w[\w.-]*\.db")
_KNOWN = re.compile("|".join(_KINDS), re.ASCII)


def files_in(folder: Path) -> list[str]:
    """Names of the files that are there; none while there are no first turns."""
    if not (folder / FIRST).exists():
        return []
    found = [*folder.glob("*.db"), *folder.glob("labels/*.db")]
    names = (path.relative_to(folder).as_posix() for path in found)
    return in_order(name for name in names if is_kept(name))


def in_order(names: Iterable[str]) -> list[str]:
    """Sorts names so that what rests on another file comes after it."""
    return sorted(names, key=lambda name: (holds_labels(name), name != FIRST, name))


def is_kept(name: str) -> bool:
    """Whether this is a name of such a file; one that leads out of the folder is not."""
    return _KNOWN.fullmatch(name) is not None


def holds_labels(name: str) -> bool:
    """Whether the file holds labels, and not turns."""
    return name.startswith("labels/")


def open_file(folder: Path, name: str) -> Database:
    """Opens a file for writing; made if missing.

    Raises:
        OutputError: It cannot be made.
        JournalError: It has another layout, or is damaged.
    """
    return (Labels if holds_labels(name) else Journal)(folder / name)
