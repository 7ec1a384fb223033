"""The past of a dataset: what is published already, and an increment goes on from.

An increment has row ids of its own, beginning where the published ones end. What it draws depends
on the recipe and these ids, and which of its rows are kept on the published instructions besides:
nothing else of what happened before on this or another machine counts.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from magpie_hub.store.shards import CachedShard, Digests


@dataclass(frozen=True)
class Baseline:
    """What is published.

    Attributes:
        start: First row id of the increment.
        shards: The published shards of the config `default`, in order.
        judges: Revisions that judges were pinned to, by what the recipe says.
        chat: The chat format that the published rows were drawn with.
    """

    start: int
    shards: tuple[CachedShard, ...] = ()
    judges: Mapping[str, str] = field(default_factory=dict)
    chat: Mapping[str, Any] | None = None

    @functools.cached_property
    def digests(self) -> Digests:
        """Digests of the published first instructions."""
        return Digests(self.shards)
