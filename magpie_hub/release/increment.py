"""Increments: how a release adds rows to a published one, or replaces all of them.

A published release is a list of increments: row ids, shards and tag of each. A new increment writes
its own shards and leaves the others where they are; statistics, card and manifest are of the whole.
A release that generates all rows again (a full refresh) is the first increment of the next version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from magpie_hub.store.usage import Usage, total

Stats = Mapping[str, Any]

FIRST_VERSION = "1.0"

_COST = tuple(field.name for field in fields(Usage))


@dataclass(frozen=True, slots=True)
class Increment:
    """What is published, and what is added to it.

    Attributes:
        manifest: The published manifest.
        stats: The published statistics.
        kept: Shards that stay, by config: files that hold what is counted of them, for the configs
            in which something is counted. Empty for a full refresh.
        tick: Name of the run that adds this.
        tag: Its tag.
        date: Its day, as in 2026-11-21.
        examine: Compares the statistics of the new rows with the published ones. Returns what the
            manifest says of that, and warnings in words; raises if the rows are refused.
    """

    manifest: Mapping[str, Any]
    stats: Stats
    kept: Mapping[str, tuple[Path, ...]]
    tick: str
    tag: str
    date: str
    examine: Callable[[Stats], tuple[dict[str, Any], Sequence[str]]]

    @property
    def full_refresh(self) -> bool:
        """Whether all rows are generated again."""
        return not self.kept

    def shards_before(self, config: str) -> int:
        """Shards of a config that stay, and that the new ones are numbered on from."""
        if self.full_refresh:
            return 0
        paths = [path for one in self.manifest["increments"] for path in one["files"]]
        return sum(path.startswith(f"data/{config}/") for path in paths)

    def costs(self, fresh: Sequence[Usage]) -> list[Usage]:
        """What all rows have cost."""
        old = (
            []
            if self.full_refresh
            else [
                Usage(**{key: cost[key] for key in _COST if key in cost})
                for cost in self.stats["spent"]
            ]
        )
        return total([*old, *fresh])

    def sessions(self, fresh: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The engine sessions of all rows, each once."""
        if self.full_refresh:
            return list(fresh)
        old = list(self.manifest["sessions"])
        known = [_bare(session) for session in old]
        return [*old, *(session for session in fresh if _bare(session) not in known)]


@dataclass(frozen=True, slots=True)
class ReleaseHistory:
    """A release's place in the history of its dataset.

    Attributes:
        tag: By which it is pinned.
        version: Its number: major when all rows are new, minor when some are.
        increments: Where its rows come from, in order.
        changelog: This release and all before it, the newest first.
        files: Entries of the manifest for the shards that stay where they are.
    """

    tag: str
    version: str
    increments: Sequence[Mapping[str, Any]]
    changelog: Sequence[Mapping[str, Any]]
    files: Mapping[str, Any]

    @property
    def figures(self) -> list[dict[str, Any]]:
        """The changelog, with the generator's revision and what the gates found.

        Earlier versions have none: see the statistics of their own releases.
        """
        of = {one["tag"]: one for one in self.increments}
        keys = ("revision", "drift")
        return [
            {**line, **{key: of.get(line["tag"], {}).get(key) for key in keys}}
            for line in self.changelog
        ]


def first_release(increment: Mapping[str, Any]) -> ReleaseHistory:
    """The first release of a dataset."""
    line = {
        "tag": increment["tag"],
        "date": increment["date"],
        "edition": FIRST_VERSION,
        "tick": None,
        "rows": increment["rows"],
        "text": f"{increment['rows']:,} rows.",
    }
    return ReleaseHistory(
        increment["tag"], FIRST_VERSION, [{"tick": None, **increment}], [line], {}
    )


def next_release(
    added: Increment, increment: Mapping[str, Any], drift: Any, warnings: Sequence[str]
) -> ReleaseHistory:
    """The release that comes after what is published.

    Args:
        added: What is published, and what is added to it.
        increment: The new rows.
        drift: What the manifest says of how they were compared.
        warnings: What of that the user should read.
    """
    manifest, rows = added.manifest, increment["rows"]
    major, minor = map(int, manifest["edition"].split("."))
    older = [] if added.full_refresh else manifest["increments"]
    kept = [path for one in older for path in one["files"]]
    if added.full_refresh:
        version, text = f"{major + 1}.0", f"All {rows:,} rows generated again."
    else:
        version = f"{major}.{minor + 1}"
        text = f"{rows:,} rows added, {manifest['rows'] + rows:,} in all."
    named = {"tick": added.tick, "tag": added.tag, "date": added.date}
    line = {
        "tag": added.tag,
        "date": added.date,
        "edition": version,
        "tick": added.tick,
        "rows": rows,
        "text": " ".join([text, *(f"Warning: {warning}." for warning in warnings)]),
    }
    return ReleaseHistory(
        added.tag,
        version,
        [*older, {**increment, **named, "drift": drift}],
        [line, *manifest["changelog"]],
        {path: manifest["files"][path] for path in kept},
    )


def kept_paths(manifest: Mapping[str, Any]) -> list[str]:
    """Shards of earlier increments, which a release folder need not hold."""
    return [path for one in manifest["increments"][:-1] for path in one["files"]]


def _bare(session: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in session.items() if key != "id"}
