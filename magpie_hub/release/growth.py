"""Growth: how a release adds to one that is published, or follows it.

A published release is a row of increments: row ids, shards and tag of each. A new increment writes
its own shards and leaves the others where they are; statistics, card and manifest are of the whole.
A release that makes all rows anew is the first increment of the next edition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magpie_hub.spent import Spent, total

Stats = Mapping[str, Any]

FIRST_EDITION = "1.0"


@dataclass(frozen=True, slots=True)
class Growth:
    """What is published, and what comes to it.

    Attributes:
        manifest: The published manifest.
        stats: The published statistics.
        kept: Shards that stay, by config: files that hold what is counted of them. Empty when all
            rows are made anew.
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
    def anew(self) -> bool:
        """Whether all rows are made anew."""
        return not self.kept

    @property
    def files(self) -> dict[str, Any]:
        """Entries of the manifest for the files that stay."""
        if self.anew:
            return {}
        paths = [path for one in self.manifest["increments"] for path in one["files"]]
        return {path: self.manifest["files"][path] for path in paths}

    @property
    def edition(self) -> str:
        """Number of the release: major when all rows are new, minor when some are."""
        major, minor = map(int, self.manifest["edition"].split("."))
        return f"{major + 1}.0" if self.anew else f"{major}.{minor + 1}"

    def costs(self, fresh: Sequence[Spent]) -> list[Spent]:
        """What all rows have cost."""
        old = [] if self.anew else [Spent(**cost) for cost in self.stats["spent"]]
        return total([*old, *fresh])

    def sessions(self, fresh: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The engine sessions of all rows, each once."""
        if self.anew:
            return list(fresh)
        old = list(self.manifest["sessions"])
        known = [_bare(session) for session in old]
        return [*old, *(session for session in fresh if _bare(session) not in known)]


def kept_paths(manifest: Mapping[str, Any]) -> list[str]:
    """Shards of earlier increments, which a release folder need not hold."""
    return [path for one in manifest["increments"][:-1] for path in one["files"]]


def _bare(session: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in session.items() if key != "id"}
