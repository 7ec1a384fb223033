"""The checks before a push: is this folder the release that its manifest says it is?

Every byte is read and nothing is sent. A release that passes can be published as it is.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError
from magpie_hub.hub.client import Say, clean
from magpie_hub.hub.tree import CARD, MANIFEST, LocalFile
from magpie_hub.recipe.variants import variant_names
from magpie_hub.release.documents import read_file
from magpie_hub.release.increment import kept_paths
from magpie_hub.release.manifest import claims_ours, config_of, parse_manifest, read_recipe
from magpie_hub.release.schema import DEFAULT, published_schema
from magpie_hub.release.shards import count_rows
from magpie_hub.release.stats_schema import read_stats
from magpie_hub.text import command

if TYPE_CHECKING:
    from magpie_hub.recipe.config import Recipe
    from magpie_hub.scan.finding import Report

SHOWN = 10
"""Findings of the scan that are shown."""

_MOST_THREADS = 8


@dataclass(frozen=True, slots=True)
class LocalRelease:
    """A release folder that was checked.

    Attributes:
        folder: Where it is.
        recipe: The recipe that it was made by.
        manifest: Its manifest.
        files: All of its files but the card, by path; the card is rendered for the repository.
    """

    folder: Path
    recipe: Recipe
    manifest: dict[str, Any]
    files: dict[str, LocalFile]


def check_release(folder: Path) -> LocalRelease:
    """Checks a release folder.

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

    def hashed(path: str) -> LocalFile:
        named = manifest["files"][path]
        if path in elsewhere and not (folder / path).exists():
            return LocalFile(path, None, named["bytes"], named["sha256"])
        return _hashed(folder, path, named["sha256"], again)

    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        files = {file.path: file for file in threads.map(hashed, manifest["files"])}
    _refuse_foreign(folder, files)
    recipe = read_recipe(folder, manifest, read_stats(folder, manifest))
    _check_counts(folder, manifest, recipe, again)
    del files[CARD]
    files[MANIFEST] = LocalFile.of(MANIFEST, content)
    return LocalRelease(folder, recipe, manifest, files)


def scan_local(local: LocalRelease, reviewed: Iterable[str] = ()) -> Report:
    """Scans a checked release for secrets and personal data.

    Args:
        local: The release.
        reviewed: Findings that the user lets pass.

    Raises:
        UserError: A reviewed line is not one, or there is something that cannot be scanned.
    """
    from magpie_hub.scan.scanner import scan_release

    return scan_release(local.folder, allow=tuple(reviewed))


def check_publishable(local: LocalRelease, name: str, reviewed: Iterable[str], say: Say) -> None:
    """Checks what must not be published: another recipe's rows, nameless models, findings.

    Args:
        local: The release.
        name: Name of the recipe that it should be of.
        reviewed: Findings of the scan that the user lets pass.
        say: Told what the scan found, a line each.

    Raises:
        UserError: Something is refused.
    """
    if unnamed := [str(key) for key in local.manifest.get("unnamed", ())]:
        keys = ", ".join(f"{key}_name" for key in unnamed)
        raise UserError(
            f"{local.folder}: {', '.join(unnamed)} is a folder of the machine that built it, and "
            f"has no public name; give it one in the recipe ({keys}: NAMESPACE/NAME), and "
            "build again, which generates nothing"
        )
    if local.manifest["name"] != name:
        raise UserError(
            f"{local.folder}: the release of {local.manifest['name']}, not of {name}; name "
            "the folder with --folder"
        )
    found = scan_local(local, reviewed)
    if found.clean:
        say(f"scan: {found.rows:,} rows, no findings that are not reviewed")
        return
    for finding in found.findings[:SHOWN]:
        say(f"  {finding.mark}  {finding.shown}  {finding.place}")
    raise UserError(
        f"{local.folder}: the scan found {sum(found.counts.values())} things that may be secrets "
        f"or personal data; {command('scan', local.folder)} lists them: look at each, then name "
        "those that may be published in the recipe (hub.reviewed) or in a file given with "
        "--reviewed"
    )


def counted_rows(card: str, configs: Collection[str]) -> dict[str, int]:
    """Rows of these configs, as a card's YAML counts them.

    Raises:
        UserError: It cannot be read, or counts nothing.
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


def _again(folder: Path, name: object) -> str:
    """How to build a release once more; the path of the user's own recipe is not known here."""
    recipe = str(name) if name in variant_names() else "RECIPE"
    return f"build it again ({command('build', recipe, '--out', folder)}), which generates nothing"


def _hashed(folder: Path, path: str, sha256: str, again: str) -> LocalFile:
    source = folder / path
    try:
        if source.resolve() != folder.resolve() / path:
            raise UserError(f"{source}: this is a link, and a release holds only files; {again}")
        file = LocalFile.hashed(path, source)
    except OSError:
        raise UserError(f"{source}: a file of the release is missing; {again}") from None
    if file.sha256 != sha256:
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
            raise UserError(f"{path}: not part of the release; remove it")


def _check_counts(folder: Path, manifest: dict[str, Any], recipe: Recipe, again: str) -> None:
    """Compares the rows in the files' footers with those of the manifest and the card."""
    rows: dict[str, int] = {}
    for path, named in manifest["files"].items():
        if (config := config_of(path)) is None:
            continue
        if (folder / path).exists():
            found = count_rows(folder / path, published_schema(recipe, config))
            if found != named["rows"]:
                raise UserError(
                    f"{folder / path}: {found} rows, not the manifest's {named['rows']}; {again}"
                )
        rows[config] = rows.get(config, 0) + named["rows"]
    counted = counted_rows(read_file(folder, CARD).decode("utf-8", "replace"), rows)
    if rows.get(DEFAULT) != manifest["rows"] or counted != rows:
        raise UserError(
            f"{folder}: data, manifest, statistics and card count different rows; {again}"
        )
