"""A row as the selection sees it: its labels, and how long it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LabeledRow:
    """A finished row that no gate rejected, with its labels.

    Attributes:
        row_id: Global index of the row.
        labels: Values by published column. None, or no such key, where the judge is off or
            failed; `failures` tells which.
        failures: Why a judge has no label for the row, by the judge's name.
        response_chars: Characters of all its responses.
        instruction_ends_with_colon: Whether the first instruction ends with a colon.
        leader: None if nothing comes near the row; its own id if every near-duplicate comes
            later; else the lowest row id among its near-duplicates.
        published: The uuid of a near-duplicate in a set that is already published.
    """

    row_id: int
    labels: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    failures: Mapping[str, str] = field(default_factory=lambda: _NONE)
    response_chars: int = 0
    instruction_ends_with_colon: bool = False
    leader: int | None = None
    published: str | None = None
