"""Examines new rows: runs all drift checks and decides what comes of each.

A difference fails a check when it is both large (over the bound) and sure (p under the
significance). It warns when it is sure and over half of the bound. A large difference that is not
sure is called unsure: a small increment differs by much for no reason.

P-values are corrected for the number of checks (Holm). So the chance that an increment like the
published rows is refused is at most the significance, however many turns and judges it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.checks import KINDS, Check, State, check_floors
from magpie_hub.regenerate.drift.significance import holm
from magpie_hub.release.card.funnel import funnel_steps

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
        published: Share of the planned rows of the published release.
        new: Share of the new planned rows.
    """

    code: str
    says: str
    published: float
    new: float


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What was checked, and what was found.

    Attributes:
        checks: All checks, in the order of their kinds.
        reasons: All reject reasons, the most frequent among the new rows first.
    """

    checks: tuple[Check, ...]
    reasons: tuple[Reason, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks for which the increment is refused."""
        return self._in("failed")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """Checks that the user should look at."""
        return self._in("warning")

    @property
    def unsure(self) -> tuple[Check, ...]:
        """Checks over their bounds, with too few rows to tell whether that is chance."""
        return self._in("unsure")

    @property
    def state(self) -> State:
        """The worst state of any check; an unsure one refuses nothing and warns of nothing."""
        return "failed" if self.failed else "warning" if self.warnings else "ok"

    def _in(self, state: State) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.state == state)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the manifest: what is not ok, and the headline figures."""
        by_name = {check.name: check.to_json() for check in self.checks}
        return {
            "state": self.state,
            "checks": len(self.checks),
            "unsure": len(self.unsure),
            "not_ok": [check.to_json() for check in (*self.failed, *self.warnings)],
            "figures": {
                name: {key: by_name[name][key] for key in ("published", "new")}
                for name in HEADLINE
                if name in by_name
            },
        }


def examine(
    published: Mapping[str, Any],
    new: Mapping[str, Any],
    bounds: Drift,
    *,
    full_refresh: bool = False,
) -> DriftReport:
    """Compares new rows with the published ones.

    Args:
        published: `stats.json` of the whole published release.
        new: `stats.json` of the new rows alone. Of rows that could not be finished, `funnel` is
            enough; what it lacks is not checked.
        bounds: The recipe's bounds; a check whose bound is None is left out.
        full_refresh: Whether the rows replace the published ones. A change is wanted then, so a
            difference only warns; floors and ceilings still refuse.
    """
    found = [check for kind in KINDS for check in kind(published, new, bounds)]
    corrected = iter(holm([check.p for check in found if check.p is not None]))
    judged = [
        _judged(check, None if check.p is None else next(corrected), bounds.significance)
        for check in found
    ]
    if full_refresh:
        judged = [
            replace(check, state="warning") if check.state == "failed" else check
            for check in judged
        ]
    reasons = _reasons(published["funnel"], new["funnel"])
    return DriftReport((*judged, *check_floors(new, bounds)), reasons)


def _judged(check: Check, p: float | None, significance: float) -> Check:
    sure, state = p is not None and p < significance, check.state
    if check.size > check.bound:
        state = "failed" if sure else "unsure"
    elif sure and check.size > check.bound / 2:
        state = "warning"
    return replace(check, p=p, state=state)


def _reasons(published: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Reason, ...]:
    old, now = ({step.code: step for step in funnel_steps(funnel)} for funnel in (published, new))

    def share(found: Mapping[str, Any], code: str, funnel: Mapping[str, Any]) -> float:
        return found[code].rows / max(1, funnel["planned"]) if code in found else 0.0

    reasons = [
        Reason(code, step.says, share(old, code, published), share(now, code, new))
        for code, step in {**old, **now}.items()
    ]
    return tuple(sorted(reasons, key=lambda one: (-one.new, -one.published, one.code)))
