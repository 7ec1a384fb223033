"""The baseline of an increment: what is published already.

An increment has row ids of its own, which begin where the published ones end. What it generates
depends on the recipe and these ids; which of its rows are kept depends on the published
instructions too, and on nothing else that this or another machine has done before.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from magpie_hub.store.shards import CachedShard, Digests


@dataclass(frozen=True)
class Baseline:
    """What is published of a dataset.

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
