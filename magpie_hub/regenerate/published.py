"""The published release that a tick adds to, read without fetching its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError
from magpie_hub.files import sha256_of
from magpie_hub.hub.client import ask
from magpie_hub.hub.tree import MANIFEST, RemoteTree, read_tree
from magpie_hub.hub.verify import differences
from magpie_hub.models.source import is_remote
from magpie_hub.recipe.config import Recipe
from magpie_hub.release.manifest import read_manifest
from magpie_hub.release.published_names import PublicNames
from magpie_hub.release.schema import DEFAULT, arrow_schema
from magpie_hub.release.schema import RAW as RAW_CONFIG
from magpie_hub.release.shards import reading
from magpie_hub.release.stats import RAW, counted_columns
from magpie_hub.release.stats_schema import parse_stats
from magpie_hub.store.shards import NAMES, CachedShard, ShardCache
from magpie_hub.text import command

if TYPE_CHECKING:
    from huggingface_hub import HfApi

STATS = "stats.json"


@dataclass(frozen=True, slots=True)
class PublishedRelease:
    """A published release.

    Attributes:
        tree: The repository at its head.
        manifest: Its manifest.
        stats: Its statistics.
    """

    tree: RemoteTree
    manifest: Mapping[str, Any]
    stats: Mapping[str, Any]

    @property
    def end(self) -> int:
        """Row id after the last one that was planned."""
        return int(self.manifest["increments"][-1]["end_row"])

    def find(self, tick: str) -> Mapping[str, Any] | None:
        """The changelog's entry of what a tick has published; None if it has not."""
        return next((one for one in self.manifest["changelog"] if one["tick"] == tick), None)

    def shards(self, config: str) -> Iterator[tuple[str, str, int]]:
        """Path, SHA-256 and rows of a config's shards, in order."""
        files = self.manifest["files"]
        for increment in self.manifest["increments"]:
            for path in increment["files"]:
                if path.startswith(f"data/{config}/"):
                    yield path, files[path]["sha256"], int(files[path]["rows"])

    def check_recipe(self, name: str | Path, recipe: Recipe) -> None:
        """Makes sure that rows of a recipe may be added to these.

        Args:
            name: The recipe as the caller named it, for messages.
            recipe: The recipe.

        Raises:
            UserError: They may not.
        """
        manifest, repo_id = self.manifest, self.tree.repo_id
        ours, theirs = PublicNames(recipe).generator, manifest["model"]["name"]
        if ours != theirs:
            raise UserError(
                f"{repo_id}: its rows are of {theirs}, the recipe's generator is {ours}; --refresh "
                "generates all rows again"
            )
        asked, revision = recipe.model_revision, manifest["model"]["revision"]
        if asked not in (None, revision) and is_remote(recipe.model):
            raise UserError(
                f"{repo_id}: its rows are of revision {revision}, the recipe asks for {asked}; "
                "--refresh generates all rows again"
            )
        if "conversations" in manifest["columns"]:
            raise UserError(
                f"{repo_id}: its rows have the column conversations, which makes trainers read the "
                "wrong roles and which rows no longer have; publish the whole set once more from "
                f"its journal ({command('push', '--variant', name, '--build')}), or generate all "
                "rows again (--refresh)"
            )
        columns = arrow_schema(recipe.turns, recipe.judges.names).names
        if columns != manifest["columns"]:
            other = sorted(set(columns) ^ set(manifest["columns"])) or ["their order"]
            raise UserError(
                f"{repo_id}: its columns differ from the recipe's ({', '.join(other[:5])}); other "
                "turns or judges need --refresh, which generates all rows again"
            )


def read_published_release(
    api: HfApi, repo_id: str, name: str, given: str | Path | None = None
) -> PublishedRelease:
    """Reads the published release of a recipe.

    Args:
        api: The Hub's client.
        repo_id: The repository.
        name: The recipe's name.
        given: The recipe as the caller named it, for messages.

    Raises:
        UserError: There is no such repository, or no release of that recipe in it, or not the
            files that its manifest names.
        HubError, Busy: The Hub failed.
    """
    tree = read_tree(api, repo_id)
    if tree is None:
        raise UserError(
            f"{repo_id}: there is no such dataset, or this token may not see it; publish its first "
            f"release with {command('push', '--variant', given or name, '--build')}"
        )
    manifest = tree.manifest()
    if manifest is None:
        raise UserError(
            f"{repo_id}: it holds no release of magpie-hub ({MANIFEST} is missing or is not ours), "
            "so there is nothing to continue"
        )
    if manifest.get("name") != name:
        raise UserError(
            f"{repo_id}: it holds the release of {manifest.get('name')}, not of {name}; name "
            "another repository (--repo-id)"
        )
    apart = "its manifest and its files do not fit together"
    if problems := differences(tree, manifest):
        raise UserError(f"{repo_id}: {apart}: {problems[0]}; {_mend(repo_id)}")
    content = tree.read(STATS) or b""
    if hashlib.sha256(content).hexdigest() != manifest["files"][STATS]["sha256"]:
        raise UserError(
            f"{repo_id}: {apart}: {STATS} is not the file that the manifest names; {_mend(repo_id)}"
        )
    stats = parse_stats(content, f"{repo_id}: {STATS}", manifest)
    published = PublishedRelease(tree, manifest, stats)
    if not all(any(published.shards(config)) for config in (DEFAULT, RAW_CONFIG)):
        raise UserError(f"{repo_id}: its manifest names no data; {_mend(repo_id)}")
    return published


def _mend(repo_id: str) -> str:
    return f"see {command('verify', repo_id)}, and mend it by a push of a whole release"


def cached_columns(config: str, turns: int) -> tuple[str, ...]:
    """Columns of a published shard that a tick needs: what is counted, and the instructions."""
    return RAW if config == RAW_CONFIG else (*NAMES, *counted_columns(turns))


def cache_shards(
    api: HfApi,
    published: PublishedRelease,
    cache: ShardCache,
    folders: Iterable[Path],
    say: Callable[[str], None],
) -> dict[str, tuple[CachedShard, ...]]:
    """Brings the columns that a tick needs of the published shards into the cache.

    They come from the cache, from a release folder of this machine, or from the Hub.

    Args:
        api: The Hub's client.
        published: The release.
        cache: Where they go.
        folders: Release folders that may hold some of the shards.
        say: Takes a line for every shard that is read from the Hub.

    Returns:
        Shards by config, in order.

    Raises:
        UserError: A shard has other rows or columns than its manifest says.
        HubError, Busy: The Hub failed.
    """
    local = _local_shards(folders)
    repo_id, there = published.tree.repo_id, published.manifest["columns"]
    found: dict[str, tuple[CachedShard, ...]] = {}
    for config in (DEFAULT, RAW_CONFIG):
        columns: Iterable[str] = cached_columns(config, int(published.stats["turns"]))
        if config == DEFAULT:
            columns = [name for name in columns if name.partition(".")[0] in there]
        shards = []
        for path, sha256, rows in published.shards(config):
            shard = cache.find(sha256, columns, rows)
            if shard is None and (here := local.get(sha256)) and sha256_of(here) == sha256:
                shard = cache.put(sha256, here, columns)
            if shard is None:
                say(f"reading {path} of {repo_id}: the columns that are counted")
                shard = _read(api, published.tree, path, sha256, cache, columns)
            if shard.rows != rows or cache.find(sha256, columns, rows) is None:
                cache.drop(sha256)
                raise UserError(
                    f"{repo_id}: {path} has other rows or columns than its manifest says; "
                    f"{_mend(repo_id)}"
                )
            shards.append(shard)
        found[config] = tuple(shards)
    return found


def _read(
    api: HfApi, tree: RemoteTree, path: str, sha256: str, cache: ShardCache, columns: Iterable[str]
) -> CachedShard:
    from huggingface_hub import HfFileSystem

    files = HfFileSystem(endpoint=api.endpoint, token=api.token)

    def read() -> CachedShard:
        # Each range as it is asked for: reading ahead would fetch the texts between the columns.
        with (
            reading(f"{tree.repo_id}: {path}", remote=True),
            files.open(f"datasets/{tree.repo_id}@{tree.head}/{path}", cache_type="none") as file,
        ):
            return cache.put(sha256, file, columns)

    return ask(tree.repo_id, "reading", read, size=tree.files[path].size)


def _local_shards(folders: Iterable[Path]) -> dict[str, Path]:
    """Shards that release folders say they hold, by hash."""
    found = {}
    for folder in folders:
        try:
            files = read_manifest(folder)["files"]
        except UserError:
            continue
        for path, entry in files.items():
            if path.endswith(".parquet") and (folder / path).is_file():
                found[entry["sha256"]] = folder / path
    return found
