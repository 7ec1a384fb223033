"""What stands on the Hub: the release that a tick goes on from, read without fetching its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError
from magpie_hub.hub.client import ask
from magpie_hub.hub.tree import MANIFEST, RemoteTree, read_tree
from magpie_hub.hub.verify import differences
from magpie_hub.release.documents import parse_stats
from magpie_hub.release.documents import read_manifest as read_manifest_of
from magpie_hub.release.schema import DEFAULT
from magpie_hub.release.schema import RAW as RAW_ROWS
from magpie_hub.release.shards import reading
from magpie_hub.release.stats import RAW, counted_columns
from magpie_hub.shell import command
from magpie_hub.store.shards import NAMES, CachedShard, ShardCache

if TYPE_CHECKING:
    from huggingface_hub import HfApi

STATS = "stats.json"


@dataclass(frozen=True, slots=True)
class PublishedRelease:
    """A published release.

    Attributes:
        remote: The repository at its head.
        manifest: Its manifest.
        stats: Its statistics.
    """

    remote: RemoteTree
    manifest: Mapping[str, Any]
    stats: Mapping[str, Any]

    @property
    def end(self) -> int:
        """Row id after the last one that was planned."""
        return int(self.manifest["increments"][-1]["end_row"])

    def find(self, tick: str) -> Mapping[str, Any] | None:
        """The changelog's line of what a tick has published, if it has."""
        return next((one for one in self.manifest["changelog"] if one["tick"] == tick), None)

    def shards(self, config: str) -> list[tuple[str, str]]:
        """Path and SHA-256 of a config's shards, in order."""
        paths = [path for one in self.manifest["increments"] for path in one["files"]]
        files = self.manifest["files"]
        return [(p, files[p]["sha256"]) for p in paths if p.startswith(f"data/{config}/")]


def read_standing(
    api: HfApi, repo_id: str, name: str, given: str | Path | None = None
) -> PublishedRelease:
    """Reads what is published.

    Args:
        api: The Hub's client.
        repo_id: The repository.
        name: Name of the recipe that it should be of.
        given: The recipe as the caller named it, for messages.

    Raises:
        UserError: There is no such repository, or no release of that recipe in it.
        HubError, Busy: The Hub failed.
    """
    remote = read_tree(api, repo_id)
    if remote is None:
        raise UserError(
            f"{repo_id}: there is no such dataset, or this token may not see it; publish its first "
            f"release with {command('push', '--variant', given or name, '--build')}"
        )
    manifest = remote.manifest()
    if manifest is None:
        raise UserError(
            f"{repo_id}: it holds no release of magpie-hub ({MANIFEST} is missing or is not ours), "
            "so there is nothing to go on from"
        )
    if manifest.get("name") != name:
        raise UserError(
            f"{repo_id}: it holds the release of {manifest.get('name')}, not of {name}; name "
            "another repository (--repo-id)"
        )
    mend = f"see {command('verify', repo_id)}, and mend it by a push of a whole release"
    apart = "its manifest and its files do not fit together"
    if problems := differences(remote, manifest):
        raise UserError(f"{repo_id}: {apart}: {problems[0]}; {mend}")
    content = remote.read(STATS) or b""
    if hashlib.sha256(content).hexdigest() != manifest["files"][STATS]["sha256"]:
        raise UserError(
            f"{repo_id}: {apart}: {STATS} is not the file that the manifest names; {mend}"
        )
    stats = parse_stats(content, f"{repo_id}: {STATS}", manifest)
    standing = PublishedRelease(remote, manifest, stats)
    if not all(standing.shards(config) for config in (DEFAULT, RAW_ROWS)):
        raise UserError(f"{repo_id}: its manifest names no data; {mend}")
    return standing


def shelve(
    api: HfApi,
    standing: PublishedRelease,
    shard_cache: ShardCache,
    beside: Iterable[Path],
    say: Callable[[str], None],
) -> dict[str, tuple[CachedShard, ...]]:
    """Brings what is wanted of the published shards here.

    What is on the shelf stays there; what a release folder of this machine holds is taken from it;
    of the others the columns that are wanted are read from the Hub.

    Args:
        api: The Hub's client.
        standing: What is published.
        shelf: Where it goes.
        beside: Release folders that may hold some of the shards.
        say: Told of every shard that is read from the Hub.

    Returns:
        Shards by config, in order.

    Raises:
        HubError, Busy: The Hub failed.
    """
    local = _local_shards(beside)
    turns = int(standing.stats["turns"])
    found: dict[str, tuple[CachedShard, ...]] = {}
    repo_id, there = standing.remote.repo_id, standing.manifest["columns"]
    counted = [name for name in counted_columns(turns) if name.partition(".")[0] in there]
    for config, columns in ((DEFAULT, (*NAMES, *counted)), (RAW_ROWS, RAW)):
        shards = []
        for path, sha256 in standing.shards(config):
            rows = int(standing.manifest["files"][path]["rows"])
            shard = shard_cache.find(sha256, columns, rows)
            if shard is None and (here := local.get(sha256)) and _is(here, sha256):
                shard = shard_cache.put(sha256, here, columns)
            if shard is None:
                say(f"reading {path} of {standing.remote.repo_id}: the columns that are counted")
                shard = _read(api, standing.remote, path, sha256, shard_cache, columns)
            if shard.rows != rows or shard_cache.find(sha256, columns, rows) is None:
                shard_cache.drop(sha256)
                raise UserError(
                    f"{repo_id}: {path} has other rows or columns than its manifest says; see "
                    f"{command('verify', repo_id)}, and mend it by a push of a whole release"
                )
            shards.append(shard)
        found[config] = tuple(shards)
    return found


def _read(
    api: HfApi,
    remote: RemoteTree,
    path: str,
    sha256: str,
    shard_cache: ShardCache,
    columns: Iterable[str],
) -> CachedShard:
    from huggingface_hub import HfFileSystem

    files = HfFileSystem(endpoint=api.endpoint, token=api.token)
    place = f"datasets/{remote.repo_id}@{remote.head}/{path}"

    def read() -> CachedShard:
        # Each range as it is asked for: reading ahead would fetch the texts between the columns.
        with (
            reading(f"{remote.repo_id}: {path}", remote=True),
            files.open(place, cache_type="none") as file,
        ):
            return shard_cache.put(sha256, file, columns)

    return ask(remote.repo_id, "reading", read, size=remote.files[path].size)


def _local_shards(folders: Iterable[Path]) -> dict[str, Path]:
    """Shards that release folders say they hold, by hash."""
    found = {}
    for folder in folders:
        try:
            files = read_manifest_of(folder)["files"]
        except UserError:
            continue
        for path, entry in files.items():
            if path.endswith(".parquet") and (folder / path).is_file():
                found[entry["sha256"]] = folder / path
    return found


def _is(path: Path, sha256: str) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def today(api: HfApi) -> date:
    """The day, in UTC, by the Hub's clock: a runner's own may be wrong, and two would differ."""
    from huggingface_hub import get_session

    answer = ask(api.endpoint, "asking the time of", lambda: get_session().head(api.endpoint))
    try:
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC).date()
    except (KeyError, ValueError):
        return datetime.now(UTC).date()
