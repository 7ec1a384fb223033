"""Hashes of weight files: of every byte, and cached, so that a large file is read once.

A fine-tune may change a single tensor, anywhere, without a change of size. So the whole file is
hashed. The hash is kept in the platform's cache folder (`~/.cache/magpie-hub/weights` on Linux)
with the file's inode, size and times, which a write changes. If that folder is emptied, the files
are read once more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

import platformdirs
import xxhash

from magpie_hub.errors import ModelError
from magpie_hub.files import write_file
from magpie_hub.paths import NAME

REMEMBERED = 64 * 2**20
"""Size in bytes from which on a file's hash is cached; a smaller file is read quickly."""

SETTLED = 2.0
"""Seconds without a write after which a file's times will show the next one. File systems stamp
writes by a clock with steps of some milliseconds; some, of two seconds."""


def hash_file(path: Path) -> str:
    """32 hexadecimal digits of a file's content (XXH3, 128 bit).

    It tells files apart. It does not protect against files that are made to have equal hashes.

    Raises:
        ModelError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            said = os.fstat(file.fileno())
            stamp = [said.st_ino, said.st_size, said.st_mtime_ns, said.st_ctime_ns]
            settled = time.time() - max(said.st_mtime, said.st_ctime) > SETTLED
            kept = _kept(path) if settled and said.st_size >= REMEMBERED else None
            if kept is not None and (known := _recall(kept, stamp)):
                return known
            found = hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()  # type: ignore[arg-type]
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).") from None
    if kept is not None:
        _remember(kept, stamp, found)
    return found


def _kept(path: Path) -> Path | None:
    """Where the hash of a file is cached; None if this user has no cache folder."""
    try:
        folder = Path(platformdirs.user_cache_dir(NAME, appauthor=False))
    except RuntimeError:
        return None
    if not folder.is_absolute():
        return None
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return folder / "weights" / f"{name}.json"


def _recall(kept: Path, stamp: list[int]) -> str | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        said = json.loads(kept.read_bytes())
        if said["stamp"] == stamp and len(said["xxh3"]) == 32:
            return str(said["xxh3"])
    return None


def _remember(kept: Path, stamp: list[int], found: str) -> None:
    # If the cache cannot be written, the next call reads the file again.
    with contextlib.suppress(OSError):
        write_file(kept, json.dumps({"stamp": stamp, "xxh3": found}))
