"""Files and folders that are there whole or not at all.

What is written goes to a name of its own beside its place and is moved there by one system call:
kill the process when you will, the place holds the old content or the new one.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


@contextmanager
def new_file(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """A path to write a file to, which takes its place when the block ends well.

    Args:
        path: The place; its folder is made if missing.
        sync: Whether the content is on the disk before the file takes its place.

    Yields:
        A path beside it that no other process uses; removed if the block fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    try:
        yield partial
        if sync:
            with partial.open("rb") as file:
                os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_file(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8; its folder is made if missing."""
    with new_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write to, which takes a place where nothing is when the block ends well.

    Args:
        path: The place; the folder above it is made if missing.

    Yields:
        An empty folder beside it that no other process uses; removed if the block fails.
    """
    work = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    work.mkdir(parents=True)
    try:
        yield work
        work.rename(path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def replace_folder(new: Path, place: Path, old: Path) -> None:
    """Puts a folder in the place of another one, in one step where the system has it.

    Args:
        new: The folder; where the old one lies afterwards, if the two changed places.
        place: Where it goes; with the mode that the folder there has, if there is one.
        old: Where the old folder goes for a moment if two steps are needed.
    """
    if not place.exists():
        new.rename(place)
        return
    shutil.copymode(place, new)
    if exchange(new, place):
        return
    with held(place):
        place.rename(old)
        try:
            new.rename(place)
        except OSError:
            old.rename(place)
            raise
        shutil.rmtree(old, ignore_errors=True)


def exchange(one: Path, other: Path) -> bool:
    """Lets two folders change places in one step; False where the system cannot."""
    names = {"linux": ("renameat2", -100), "darwin": ("renameatx_np", -2)}
    name, at_here = names.get(sys.platform, ("", 0))
    call = getattr(ctypes.CDLL(None), name, None) if name else None
    if call is None:
        return False
    return bool(call(at_here, os.fsencode(one), at_here, os.fsencode(other), _EXCHANGE) == 0)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a lock on a folder, which goes with it when it is renamed and dies with its process."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool:
    """Whether a process holds a lock on a folder."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
