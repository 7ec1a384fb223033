"""The funnel: what became of the planned rows, reason by reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from magpie_hub.release.plots import style
from magpie_hub.release.plots.bars import Line, fold, table
from magpie_hub.release.plots.base import Drawing, Plot
from magpie_hub.release.plots.text import count, listed, plain, rows, share


def funnel_bars(stats: Mapping[str, Any]) -> Drawing | None:
    """Planned rows, what each reason took of them, and what was left; none if nothing was."""
    found = stats.get("funnel", {})
    planned, delivered = found.get("planned", 0), found.get("delivered", 0)
    reasons = {reason: number for reason, number in found.get("rejected", {}).items() if number}
    if not planned or not reasons:
        return None
    title = "From planned to delivered"
    lines, left = [], planned
    for reason, number in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        left -= number
        lines.append(Line(reason, number, style.VERMILLION, max(0, left)))
    lines = [
        Line("planned", planned, style.SHADE),
        *fold(lines, "more reasons"),
        Line("delivered", delivered, style.BLUE),
    ]
    note = f"{count(delivered)} of {rows(planned)} delivered; the others by why they were rejected"
    first = [f"{plain(line.name)} {count(line.number)}" for line in lines[1:-1][:3]]
    alt = (
        f"Of {rows(planned)} planned, {count(delivered)} ({share(delivered, planned)}) were "
        f"delivered. Rejected were {count(sum(reasons.values()))} for "
        f"{len(reasons)} reason{'' if len(reasons) == 1 else 's'}"
    )
    alt += f": {listed(first)}." if len(reasons) <= 3 else f", most of them {listed(first)}."
    return Plot("funnel.png", title, alt), table(title, note, lines, planned)
