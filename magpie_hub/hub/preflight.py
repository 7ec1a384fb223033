"""The gate before a push: is this folder the release that its manifest says it is?

Looks at every byte, sends nothing. What it lets through can be published as it stands.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError
from magpie_hub.hub.client import clean
from magpie_hub.hub.remote import CARD, MANIFEST
from magpie_hub.hub.target import File
from magpie_hub.paths import home
from magpie_hub.recipe.variants import variant_names
from magpie_hub.release.documents import (
    claims_ours,
    config_of,
    parse_manifest,
    read_file,
    read_recipe,
    read_stats,
)
from magpie_hub.release.increment import kept_paths
from magpie_hub.release.schema import DEFAULT, published_schema
from magpie_hub.release.shards import count_rows
from magpie_hub.shell import command

if TYPE_CHECKING:
    from magpie_hub.recipe.config import Recipe
    from magpie_hub.scan.finding import Report

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
    if not (folder / MANIFEST).exists():
        raise UserError(
            f"{folder}: there is no release; build it first "
            f"({command('build', 'NAME', '--out', folder)})"
        )
    content = read_file(folder, MANIFEST)
    if not claims_ours(content):
        raise UserError(
            f"{folder / MANIFEST}: cannot be read, or is none of magpie-hub: not a release"
        )
    manifest = parse_manifest(content, str(folder / MANIFEST))
    again = _again(folder, manifest["name"])
    elsewhere = set(kept_paths(manifest))

    def look(path: str) -> File:
        said = manifest["files"][path]
        if path in elsewhere and not (folder / path).exists():
            return File(path, None, said["bytes"], said["sha256"])
        return _look(folder, path, said, again)

    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        files = {file.path: file for file in threads.map(look, manifest["files"])}
    _refuse_foreign(folder, files)
    stats = read_stats(folder, manifest)
    recipe = read_recipe(folder, manifest, stats)
    _count(folder, manifest, recipe, again)
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
    from magpie_hub.scan.file_cache import FileCache
    from magpie_hub.scan.scanner import scan_release

    files = {file.source: file for file in local.files.values()}

    def sha256(path: Path) -> str | None:
        file = files.get(path)
        return None if file is None or file.was_touched else file.sha256

    known = FileCache(home())
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
    from magpie_hub.release.card.front_matter import read_page

    try:
        return {
            info["config_name"]: sum(split["num_examples"] for split in info["splits"])
            for info in read_page(card).front["dataset_info"]
            if info["config_name"] in configs
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"the card's YAML cannot be read: {clean(error)}") from None


def _look(folder: Path, path: str, said: dict[str, Any], again: str) -> File:
    source = folder / path
    try:
        if source.resolve() != folder.resolve() / path:
            raise UserError(f"{source}: a link, and a release holds files; {again}")
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


def _count(folder: Path, manifest: dict[str, Any], recipe: Recipe, again: str) -> None:
    """Compares the rows in the files' footers with what manifest and card say."""
    rows: dict[str, int] = {}
    for path, said in manifest["files"].items():
        if (config := config_of(path)) is None:
            continue
        if (folder / path).exists():
            found = count_rows(folder / path, published_schema(recipe, config))
            if found != said["rows"]:
                raise UserError(
                    f"{folder / path}: {found} rows, not the manifest's {said['rows']}; {again}"
                )
        rows[config] = rows.get(config, 0) + said["rows"]
    card = read_file(folder, CARD).decode("utf-8", "replace")
    counted = counted_rows(card, rows)
    if rows.get(DEFAULT) != manifest["rows"] or counted != rows:
        raise UserError(
            f"{folder}: data, manifest, statistics and card count different rows; {again}"
        )
