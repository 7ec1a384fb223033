"""A row as the selection sees it: what the judges said of it, and how long it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LabeledRow:
    """A finished row that no gate rejected, with its labels.

    A label is None where its judge is off or failed; `failures` tells which.

    Attributes:
        row_id: Global index of the row.
        instruction_ends_with_colon: Whether the first instruction ends with a colon.
        response_chars: Characters of all its responses.
        input_quality: "very poor" to "excellent".
        difficulty: "very easy" to "very hard".
        instruct_reward: The reward model's raw score of the row.
        reward_difference: That score less the one of the base model's answer.
        leader: None if nothing comes near the row; its own id if every near-duplicate comes
            later; else the lowest row id among its near-duplicates.
        published: The uuid of a near-duplicate in a set that is already published.
        safe: The guard's verdict.
        language: ISO 639-1 code, in either case; None also for a text of no language.
        failures: Why a judge has no label for the row, by the judge's name.
    """

    row_id: int
    instruction_ends_with_colon: bool = False
    response_chars: int = 0
    input_quality: str | None = None
    difficulty: str | None = None
    instruct_reward: float | None = None
    reward_difference: float | None = None
    leader: int | None = None
    published: str | None = None
    safe: bool | None = None
    language: str | None = None
    failures: Mapping[str, str] = field(default_factory=lambda: _NONE)
