"""The baseline of an increment: the dataset as it is published.

An increment's row ids begin where the published ones end. What it generates depends on the recipe
and these ids only. Which of its rows are kept depends on the published instructions too, and on
nothing else that any machine did before.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from magpie_hub.store.shards import CachedShard, Digests


@dataclass(frozen=True)
class Baseline:
    """The published part of a dataset.

    Attributes:
        start: First row id of the increment.
        shards: The published shards of the config `default`, in order.
        judges: Revisions that judges were pinned to, by what the recipe says.
        chat: The chat format of the published rows.
    """

    start: int
    shards: tuple[CachedShard, ...] = ()
    judges: Mapping[str, str] = field(default_factory=dict)
    chat: Mapping[str, Any] | None = None

    @functools.cached_property
    def digests(self) -> Digests:
        """Digests of the published first instructions."""
        return Digests(self.shards)
