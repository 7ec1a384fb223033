"""The output folder of a release: checked first, and taken in one step or not at all.

A folder is replaced only if it is a release of ours with nothing else in it: what the user keeps
there (notes, a `.git`) is named, and nothing is removed. A link is followed, so that the release
lies on the disk that the link names.

A release is written beside its place under a name that no other process has, and put there by one
system call where the system has it: after a kill at any moment the place holds the old release or
the new one. The remains of a killed process are known by their name and by a lock that died with
it, not by a process id, which is the same in every container.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from magpie_hub.errors import OutputError
from magpie_hub.files import held, is_held, replace_folder
from magpie_hub.paths import FOLDERS
from magpie_hub.paths import home as default_home
from magpie_hub.recipe.variants import find_recipe

MANIFEST = "manifest.json"
MADE_BY = "magpie_hub"

_SHARD = re.compile(r"data/[a-z0-9_-]+/train-[0-9]{5}-of-[0-9]{5,}\.parquet")
_LEFT = re.compile(r"\.(?:[0-9]+|[0-9a-f]{16})\.(?P<kind>partial|old)")
_CLUTTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Files that file managers leave in every folder that the user opens."""


def belongs(path: str, manifest: Mapping[str, Any]) -> bool:
    """Whether a file is part of a release, or of an earlier one in its place.

    Args:
        path: Relative to the release, with slashes.
        manifest: The release's manifest.
    """
    return path == MANIFEST or path in manifest["files"] or _SHARD.fullmatch(path) is not None


def check_output(out: Path, home: Path | None = None) -> Path:
    """Makes sure that a release can be written to a folder, before any work is done for it.

    Leaves nothing there.

    Args:
        out: The folder, or a link to it; it need not exist.
        home: The folder of all journals; the environment's by default.

    Returns:
        The folder itself, with all links followed.

    Raises:
        OutputError: The place holds something that is not a release of ours, is not a folder, is
            where the journals or the caller are, or cannot be written.
    """
    with _using(out):
        place = out.resolve()
        if out.is_symlink() and not place.exists():
            raise OutputError(
                f"{out}: this is a link to {place}, which is not there; make that folder, or name "
                "another one"
            )
        _check_home(out, place, default_home() if home is None else home)
        if place.is_dir():
            _check_replaceable(out, place)
        elif place.exists():
            raise OutputError(f"{out}: this is not a folder; name another one")
        _check_movable(out, place)
        _check_writable(out, place)
        return place


def default_output(name: str | Path, recipe_name: str) -> Path:
    """The default output folder of a recipe; never a folder that holds the recipe.

    Args:
        name: The variant, or the recipe's path, as it was given.
        recipe_name: The recipe's name.

    Raises:
        UserError: There is no such recipe.
    """
    folder, recipe = Path(recipe_name), find_recipe(name).resolve()
    return Path(f"{recipe_name}-release") if folder.resolve() in recipe.parents else folder


@contextmanager
def _using(out: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # loops of links, NULs, names too long
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{out}: cannot be used ({reason}); name another folder") from error


def _check_home(out: Path, place: Path, home: Path) -> None:
    """Refuses the folder of the journals, what it lies in, and what we keep in it."""
    home = home.resolve()
    inside = place.parts[len(home.parts) : len(home.parts) + 1]
    if place in (home, *home.parents) or (home in place.parents and inside[0] in FOLDERS):
        raise OutputError(
            f"{out}: the journals are there (MAGPIE_HOME is {home}); name another folder"
        )


def _check_movable(out: Path, place: Path) -> None:
    """Refuses a folder that cannot be replaced by another."""
    here = Path.cwd().resolve()
    if place in (here, *here.parents):
        raise OutputError(
            f"{out}: you are in this folder, and it would be replaced under you; name another one, "
            "or run this from outside of it"
        )
    if os.path.ismount(place):
        raise OutputError(
            f"{out}: a disk is mounted there, so it cannot be replaced in one step; name a folder "
            f"in it, such as {place / 'release'}"
        )


def _check_replaceable(out: Path, place: Path) -> None:
    """Refuses a folder that holds anything but a release."""
    kept = sorted({path.name for path in place.iterdir()} - _CLUTTER)
    if not kept:
        return
    manifest = _manifest(place)
    if manifest is None:
        raise OutputError(
            f"{out}: this folder holds something that is not a release ({_few(kept)}); "
            "name another one"
        )
    if foreign := sorted(_foreign(place, manifest)):
        raise OutputError(
            f"{out}: beside the release, this folder holds what is not part of it "
            f"({_few(foreign)}), and a new release would replace it all; move that elsewhere, or "
            "name another folder"
        )


def _check_writable(out: Path, place: Path) -> None:
    parent = place.parent
    while not parent.exists():
        parent = parent.parent
    try:
        # Asking for permission is not enough: some file systems give it and take nothing.
        Path(tempfile.mkdtemp(prefix=".magpie-", dir=parent)).rmdir()
    except OSError as error:
        raise OutputError(
            f"{out}: {parent} cannot be written ({error.strerror}); name another folder"
        ) from error
    longest = max(len(os.fsencode(part)) for part in place.parts)
    if longest > os.pathconf(parent, "PC_NAME_MAX"):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))


def _manifest(folder: Path) -> Mapping[str, Any] | None:
    """What a release says it holds; None if a folder is no release of ours."""
    try:
        said = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    is_ours = isinstance(said, dict) and said.get("made_by") == MADE_BY
    files = said.get("files") if is_ours else None
    if not isinstance(files, dict) or not {"README.md", "recipe.yaml", "stats.json"} <= set(files):
        return None
    return {"files": files}


def _foreign(folder: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Files and links in a release that are not part of it; of a hidden folder, its name."""
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if path.name in _CLUTTER or belongs(name, manifest):
            continue
        top = name.partition("/")[0]
        yield top if top.startswith(".") else name


def _files(folder: Path) -> Iterator[Path]:
    """All that lies in a folder but folders; links are not followed."""

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=refuse):
        yield from (Path(place, name) for name in names)
        yield from (Path(place, name) for name in folders if Path(place, name).is_symlink())


def _few(names: list[str]) -> str:
    shown = list(dict.fromkeys(names))
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


@contextmanager
def taking(out: Path, home: Path | None = None) -> Iterator[Path]:
    """A folder to write a release into, which takes its place when the block ends well.

    What killed processes left there is cleared up first; on any failure the place is as it was.

    Args:
        out: The place, as in `check_output`.
        home: The folder of all journals; the environment's by default.

    Yields:
        An empty folder.

    Raises:
        OutputError: As in `check_output`, or the disk is full.
    """
    # An interrupted swap may have left the old release beside its place.
    with _using(out):
        _clear_up(out.resolve())
    place = check_output(out, home)
    staging = _beside(place, "partial")
    try:
        staging.mkdir(parents=True)
        with held(staging):
            yield staging
            check_output(out, home)
            replace_folder(staging, place, _beside(place, "old"))
    except OSError as error:
        raise OutputError(
            f"{out}: the release cannot be written: {error.strerror or error}"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _beside(place: Path, kind: str) -> Path:
    return place.with_name(f"{_stem(place)}.{secrets.token_hex(8)}.{kind}")


def _stem(place: Path) -> str:
    name = os.fsencode(place.name)
    # A name may be as long as a name can be already.
    return f".{place.name if len(name) <= 200 else hashlib.sha256(name).hexdigest()}"


def _clear_up(place: Path) -> None:
    """Removes what a killed process left here; puts a release back that it had moved away.

    What is not ours in every file is left alone: no name of ours is ever used twice.
    """
    for left in place.parent.glob(f"{glob.escape(_stem(place))}.*"):
        found = _LEFT.fullmatch(left.name.removeprefix(_stem(place)))
        with contextlib.suppress(OSError):
            if found is None or left.is_symlink() or not left.is_dir() or is_held(left):
                continue
            is_release = _manifest(left) is not None
            if is_release and found["kind"] == "old" and not place.exists():
                left.rename(place)
            elif all(_is_part(path.relative_to(left).as_posix(), left) for path in _files(left)):
                shutil.rmtree(left, ignore_errors=True)


def _is_part(name: str, left: Path) -> bool:
    """Whether a file may be one of a release, finished or not."""
    manifest = _manifest(left) or {"files": ("README.md", "recipe.yaml", "stats.json")}
    parts = Path(name).parts
    is_picture = parts[0] == "assets" and len(parts) == 2 and parts[1].endswith((".png", ".svg"))
    return belongs(name, manifest) or is_picture or parts[-1] in _CLUTTER
