"""What was found in the rows of files, kept by their hashes, so that none is scanned twice.

A dry run and the push after it, and a push that is tried again, look at the same bytes. A record
holds places, marks and edges of what was found and never a value, and is good for the very scanner
that made it: its sources and its libraries are part of a record's name. Allow-lists are no part of
it; they are held against it each time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from magpie_hub.files import write_file
from magpie_hub.scan.finding import MOST, Finding
from magpie_hub.scan.paths import own_places

_LIBRARIES = ("detect-secrets", "phonenumbers", "python-stdnum", "pyarrow")


class FileCache:
    """The folder of all records.

    Args:
        home: The folder that holds it.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "scans"

    def find(self, sha256: str) -> tuple[Finding, ...] | None:
        """What was found in the rows of a file; None if that is not known."""
        try:
            said = json.loads(self._path(sha256).read_bytes())
            if said["sha256"] != sha256 or said["scanner"] != scanner():
                return None
            return tuple(Finding(*(str(word) for word in one)) for one in said["found"])
        except (OSError, ValueError, LookupError, TypeError):
            return None  # Not there, or spoilt by a disk: it can be had again.

    def put(self, sha256: str, found: Sequence[Finding]) -> None:
        """Keeps what was found; where that cannot be kept, or is too much, it is not."""
        if len(found) > MOST:
            return
        said = {
            "sha256": sha256,
            "scanner": scanner(),
            "found": [(one.kind, one.place, one.shown, one.mark) for one in found],
        }
        with suppress(OSError):
            write_file(self._path(sha256), json.dumps(said))

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}-{scanner()[:16]}.json"


@cache
def scanner() -> str:
    """A hash of all that decides what is found: this package's sources, its libraries, and whose
    folders are looked for."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    for place in own_places():
        digest.update(f"{place}\0".encode())
    for name in _LIBRARIES:
        digest.update(f"{name} {version(name)}\0".encode())
    return digest.hexdigest()
