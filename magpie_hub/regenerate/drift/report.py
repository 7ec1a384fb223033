"""Writes a drift report in Markdown, for a CI job's summary and for the user who decides.

Names of labels, reasons and judges are other people's words, and so is every sentence that holds
one: they are escaped by `magpie_hub.release.card.markdown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from magpie_hub.regenerate.drift.checks import Check
from magpie_hub.regenerate.drift.examine import DriftReport, Reason
from magpie_hub.release.card import numbers
from magpie_hub.release.card.markdown import cell, code, inline
from magpie_hub.release.card.numbers import NOTHING

STATES = {
    "failed": "**failed**",
    "warning": "warning",
    "unsure": "too few rows to tell",
    "ok": "ok",
}

NOTE = (
    "A difference fails when it is over its bound and sure, and warns when it is sure and over "
    "half of the bound. Of one that is over its bound and not sure there are too few rows to tell. "
    "p is the chance of such a difference between equal distributions, "
    "corrected for the number of checks; floors and ceilings have none."
)


def write_report(
    drift: DriftReport,
    *,
    name: str,
    tick: str,
    tag: str | None,
    repo_id: str | None,
    published_rows: int,
    new_rows: int,
    notes: Sequence[str] = (),
) -> str:
    """Writes the report.

    Args:
        drift: What was found.
        name: The recipe's name.
        tick: Id of the tick that made the rows.
        tag: The tag that they get if they are published; None if that is not known.
        repo_id: Where they are published; None if that is not known.
        published_rows: Rows that are published before.
        new_rows: Rows that the tick made.
        notes: More to be known, a sentence each.

    Returns:
        Markdown: the verdict in one sentence, what is wrong in words, the checks side by side, the
        worst first, and the reject reasons side by side.
    """
    rows = numbers.plural(new_rows, "new row")
    made = f"the {rows} of {code(name)} (tick {code(tick)})"
    where = f" in {code(repo_id)}" if repo_id else ""
    there = f"the {numbers.plural(published_rows, 'row')} published{where}"
    failed, warnings = drift.failed, drift.warnings
    if failed:
        checks = numbers.plural(len(failed), "check")
        verdict = f"Refused: {made} failed {checks} against {there}."
    else:
        but = f" with {numbers.plural(len(warnings), 'warning')}" if warnings else ""
        going = f"; their tag is {code(tag)}" if tag else ""
        verdict = f"Passed{but}: {made} are like {there}{going}."
        if unsure := len(drift.unsure):
            checks = numbers.plural(unsure, "check")
            verdict += f" For {checks} there are too few rows to tell."
    parts = [
        verdict,
        *(f"Note: {inline(note)}." for note in notes),
        _sentences("What failed", failed),
        _sentences("What to look at", warnings),
        "## Checks",
        _checks(sorted(drift.checks, key=lambda check: [*STATES].index(check.state))),
        NOTE,
    ]
    if drift.reasons:
        parts += ["## Reject reasons", _reasons(drift.reasons)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _sentences(title: str, checks: Sequence[Check]) -> str:
    if not checks:
        return ""
    return f"## {title}\n\n" + "\n".join(f"- {inline(check.says)}." for check in checks)


def _checks(checks: Iterable[Check]) -> str:
    rows = []
    for check in checks:
        value, size = check.unit.value, check.unit.size
        compared = check.published is not None
        rows.append(
            (
                STATES[check.state],
                code(check.name),
                cell(check.what),
                cell(value(check.published)) if check.published is not None else NOTHING,
                cell(value(check.new)),
                cell(size(max(0.0, check.size))) if compared else NOTHING,
                cell(check.limit),
                NOTHING if check.p is None else cell(_probability(check.p)),
            )
        )
    return _table(("", "check", "", "published", "new", "difference", "bound", "p"), rows, right=5)


def _reasons(reasons: Iterable[Reason]) -> str:
    rows = [
        (
            code(one.code),
            cell(one.says),
            cell(numbers.share(one.published, 1)),
            cell(numbers.share(one.new, 1)),
        )
        for one in reasons
    ]
    return _table(("reason", "", "published, of planned", "new, of planned"), rows, right=2)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: int) -> str:
    """A table whose last columns hold numbers."""
    rule = ["---"] * (len(head) - right) + ["---:"] * right
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _probability(p: float) -> str:
    return "<1e-99" if p < 1e-99 else f"{p:.2g}"
