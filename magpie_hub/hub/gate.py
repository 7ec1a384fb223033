"""The gate before a push: is this folder the release that its manifest says it is?

Looks at every byte, sends nothing. What it lets through can be published as it stands.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError
from magpie_hub.home import home
from magpie_hub.hub.intent import File
from magpie_hub.hub.remote import CARD, MANIFEST
from magpie_hub.recipe import variant_names
from magpie_hub.release import MADE_BY
from magpie_hub.release.growth import kept_paths
from magpie_hub.shell import command

if TYPE_CHECKING:
    from magpie_hub.recipe.model import Recipe
    from magpie_hub.scan import Report

_MOST_THREADS = 8


@dataclass(frozen=True, slots=True)
class Local:
    """A release folder that was looked at.

    Attributes:
        folder: Where it is.
        recipe: What it was made by.
        manifest: What it says of itself.
        files: All of its files but for the card, by path; the card is rendered for the repository.
    """

    folder: Path
    recipe: Recipe
    manifest: dict[str, Any]
    files: dict[str, File]


def check_release(folder: Path) -> Local:
    """Looks at a release folder.

    Raises:
        UserError: There is none, or it is not what its manifest says: it was edited after it was
            built, a file is missing or foreign, or its rows are not those that it counts.
    """
    from magpie_hub.recipe import parse_recipe

    try:
        content = (folder / MANIFEST).read_bytes()
        manifest = json.loads(content)
    except FileNotFoundError:
        raise UserError(
            f"{folder}: there is no release; build it first "
            f"({command('build', 'NAME', '--out', folder)})"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / MANIFEST}: cannot be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("made_by") != MADE_BY:
        raise UserError(f"{folder}: not a release of magpie-hub")
    again = _again(folder, manifest.get("name"))
    elsewhere = set(kept_paths(manifest))

    def look(path: str) -> File:
        said = manifest["files"][path]
        if path in elsewhere and not (folder / path).exists():
            return File(path, None, said["bytes"], said["sha256"])
        return _look(folder, path, said, again)

    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        files = {file.path: file for file in threads.map(look, manifest["files"])}
    _refuse_foreign(folder, files)
    _count(folder, manifest, again)
    recipe = parse_recipe((folder / "recipe.yaml").read_text(encoding="utf-8"), str(folder))
    files.pop(CARD)
    files[MANIFEST] = File(MANIFEST, content, len(content), hashlib.sha256(content).hexdigest())
    return Local(folder, recipe, manifest, files)


def scan_local(local: Local, reviewed: Iterable[str] = ()) -> Report:
    """Looks for secrets and personal data in a release that was looked at.

    What is found in the rows of a file is kept in MAGPIE_HOME by the hash that was taken, if the
    file is still the same afterwards, and is not looked for again.

    Args:
        local: The release.
        reviewed: Findings that a person has let pass.

    Raises:
        UserError: A reviewed line is not one, or there is something that cannot be scanned.
    """
    from magpie_hub.scan import Records, scan_release

    files = {file.source: file for file in local.files.values()}

    def sha256(path: Path) -> str | None:
        file = files.get(path)
        return None if file is None or file.was_touched else file.sha256

    known = Records(home())
    return scan_release(local.folder, allow=tuple(reviewed), records=known, sha256=sha256)


def _again(folder: Path, name: object) -> str:
    """How a release is built once more; a recipe of one's own is known to its owner alone."""
    recipe = str(name) if name in variant_names() else "RECIPE"
    return f"build it again ({command('build', recipe, '--out', folder)}), which generates nothing"


def counted_rows(card: str, configs: Collection[str]) -> dict[str, int]:
    """Rows of these configs, as a card counts them.

    Raises:
        UserError: Its YAML cannot be read, or counts nothing.
    """
    from magpie_hub.release.front_matter import read_page

    try:
        return {
            info["config_name"]: sum(split["num_examples"] for split in info["splits"])
            for info in read_page(card).front["dataset_info"]
            if info["config_name"] in configs
        }
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"the card's YAML cannot be read: {error}") from None


def _look(folder: Path, path: str, said: dict[str, Any], again: str) -> File:
    source = folder / path
    try:
        file = File.read(path, source)
    except OSError:
        raise UserError(f"{source}: a file of the release is missing; {again}") from None
    if file.sha256 != said["sha256"]:
        hint = (
            "; words of your own for the card go into the recipe (card.blocks), or into the card "
            "on the Hub, where a push keeps them"
            if path == CARD
            else ""
        )
        raise UserError(f"{source}: edited after the release was built{hint}; {again}")
    return file


def _refuse_foreign(folder: Path, files: Iterable[str]) -> None:
    known = {*files, MANIFEST}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in known and not path.name.startswith("."):
            raise UserError(f"{path}: not part of the release; take it away")


def _count(folder: Path, manifest: dict[str, Any], again: str) -> None:
    """Compares the rows in the files' footers with what manifest, statistics and card say."""
    import pyarrow.parquet as pq

    rows: dict[str, int] = {}
    for path, said in manifest["files"].items():
        if path.endswith(".parquet"):
            there = (folder / path).exists()
            found = pq.read_metadata(folder / path).num_rows if there else said["rows"]
            if found != said["rows"]:
                raise UserError(
                    f"{folder / path}: {found} rows, not the manifest's {said['rows']}; {again}"
                )
            config = path.split("/")[1]
            rows[config] = rows.get(config, 0) + found
    stats = json.loads((folder / "stats.json").read_bytes())
    counted = counted_rows((folder / CARD).read_text(encoding="utf-8"), rows)
    if not rows["default"] == manifest["rows"] == stats["rows"] or counted != rows:
        raise UserError(
            f"{folder}: data, manifest, statistics and card count different rows; {again}"
        )
