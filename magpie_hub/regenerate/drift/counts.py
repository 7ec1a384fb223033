"""Where the planned rows of a set went, in the terms of the gates.

A row is rejected for a cause, for repeating an earlier row, or for no fault of its own: it passed,
and the selection's quota was full. Only causes say what the generator has become. Repeats grow
with the set, and quotas are by construction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from magpie_hub.regenerate.drift.significance import Part
from magpie_hub.release.card.funnel import steps

REPEATS = frozenset({"instruction.duplicate", "selection.near_duplicate", "selection.published"})
QUOTAS = frozenset({"selection.shorter", "selection.mix", "selection.surplus"})


@dataclass(frozen=True, slots=True)
class Flow:
    """A funnel, sorted.

    Attributes:
        planned: Rows planned.
        delivered: Rows of the dataset.
        passed: Rows that every gate and rule let through, delivered or not.
        repeats: Rows rejected for repeating an earlier one, of the set or published before.
        causes: Rows rejected for any other cause, by reason.
        says: What each reason says; "" where that is not known.
    """

    planned: int
    delivered: int
    passed: int
    repeats: int
    causes: Mapping[str, int]
    says: Mapping[str, str]

    def part(self, reason: str) -> Part:
        """The planned rows that were rejected for a reason."""
        return Part(self.causes.get(reason, 0), self.planned)


def flow(stats: Mapping[str, Any]) -> Flow:
    """Sorts a funnel.

    Args:
        stats: As in `stats.json`; only its `funnel` is read.
    """
    found = steps(stats["funnel"])
    rows = {step.code: step.rows for step in found}
    causes = {
        code: count for code, count in rows.items() if code not in REPEATS and code not in QUOTAS
    }
    planned, delivered = stats["funnel"]["planned"], stats["funnel"]["delivered"]
    repeats = sum(rows.get(code, 0) for code in REPEATS)
    passed = max(0, planned - repeats - sum(causes.values()))
    says = {step.code: step.says for step in found}
    return Flow(planned, delivered, passed, repeats, causes, says)
