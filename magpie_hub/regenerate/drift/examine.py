"""The examination of an increment: all checks, and what comes of each.

A difference fails a check when it is both large (over the bound) and sure (p under the
significance), and warns when it is sure and over half of the bound: a small increment differs by
much for no reason, and a large one surely differs by little. One that is large and not sure is
neither good nor bad, and is called unsure. P-values are corrected for the number
of checks (Holm), so the chance that an increment like what is published fails at all is at most
the significance, however many turns and judges it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.absolute import floors
from magpie_hub.regenerate.drift.check import Check, State
from magpie_hub.regenerate.drift.duplicates import duplicates
from magpie_hub.regenerate.drift.lengths import lengths
from magpie_hub.regenerate.drift.means import means
from magpie_hub.regenerate.drift.mixes import mixes
from magpie_hub.regenerate.drift.shares import shares
from magpie_hub.regenerate.drift.significance import holm
from magpie_hub.release.card.funnel import steps

KINDS = (shares, duplicates, mixes, lengths, means)
"""The kinds of checks that compare two sets."""

HEADLINE = (
    "yield",
    "duplicates",
    "unsafe",
    "length.instruction_tokens.p50",
    "length.response_tokens.p50",
    "mean.instruct_reward",
)
"""Checks whose figures are kept even when nothing is wrong with them."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A reject reason in both sets, as shares of planned rows.

    Attributes:
        code: The reason, without details.
        says: The reason in words; "" if it is not known.
        published: Share of the planned rows of what is published.
        new: Share of the new planned rows.
    """

    code: str
    says: str
    published: float
    new: float


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What was looked at, and what was found.

    Attributes:
        checks: All checks, in the order of their kinds.
        reasons: All reject reasons, the most frequent among the new rows first.
    """

    checks: tuple[Check, ...]
    reasons: tuple[Reason, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks for which the increment is refused."""
        return tuple(check for check in self.checks if check.state == "failed")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """Checks that a person should look at."""
        return tuple(check for check in self.checks if check.state == "warning")

    @property
    def unsure(self) -> tuple[Check, ...]:
        """Checks that are over their bounds, with too few rows to tell whether that is chance."""
        return tuple(check for check in self.checks if check.state == "unsure")

    @property
    def state(self) -> State:
        """The worst state of any check; one that is unsure refuses nothing and warns of nothing."""
        return "failed" if self.failed else "warning" if self.warnings else "ok"

    def to_json(self) -> dict[str, Any]:
        """Plain data for the manifest: what is not ok, and the headline figures."""
        headline = {check.name: check for check in self.checks if check.name in HEADLINE}
        figures = {name: headline[name].to_json() for name in HEADLINE if name in headline}
        return {
            "state": self.state,
            "checks": len(self.checks),
            "unsure": len(self.unsure),
            "not_ok": [check.to_json() for check in (*self.failed, *self.warnings)],
            "figures": {
                name: {"published": figure["published"], "new": figure["new"]}
                for name, figure in figures.items()
            },
        }


def examine(
    published: Mapping[str, Any],
    increment: Mapping[str, Any],
    bounds: Drift,
    *,
    anew: bool = False,
) -> DriftReport:
    """Compares new rows with what is published.

    Args:
        published: `stats.json` of the whole published release.
        increment: `stats.json` of the new rows alone. Of rows that could not be finished, `funnel`
            is enough; what it lacks is not checked.
        bounds: The recipe's bounds; a check whose bound is None is left out.
        anew: Whether the rows shall take the place of the published ones. What has changed is then
            what was wanted: a difference warns, and floors and ceilings alone refuse.
    """
    found = [check for kind in KINDS for check in kind(published, increment, bounds)]
    corrected = iter(holm([check.p for check in found if check.p is not None]))
    compared = [
        _judged(check, None if check.p is None else next(corrected), bounds.significance)
        for check in found
    ]
    if anew:
        compared = [
            replace(check, state="warning") if check.state == "failed" else check
            for check in compared
        ]
    reasons = _reasons(published["funnel"], increment["funnel"])
    return DriftReport((*compared, *floors(increment, bounds)), reasons)


def _judged(check: Check, p: float | None, significance: float) -> Check:
    sure, state = p is not None and p < significance, check.state
    if check.size > check.bound:
        state = "failed" if sure else "unsure"
    elif sure and check.size > check.bound / 2:
        state = "warning"
    return replace(check, p=p, state=state)


def _reasons(published: Mapping[str, Any], increment: Mapping[str, Any]) -> tuple[Reason, ...]:
    sets = []
    says: dict[str, str] = {}
    for funnel in (published, increment):
        found = steps(funnel)
        says |= {step.code: step.says for step in found}
        sets.append({step.code: step.rows / max(1, funnel["planned"]) for step in found})
    old, new = sets
    reasons = [
        Reason(code, words, old.get(code, 0.0), new.get(code, 0.0)) for code, words in says.items()
    ]
    return tuple(sorted(reasons, key=lambda one: (-one.new, -one.published, one.code)))
