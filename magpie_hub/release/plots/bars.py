"""Bars beside names: task categories and languages.

A line is a name, a bar, a count and its share; `table` draws lines for other pictures too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from magpie_hub.release.plots import style
from magpie_hub.release.plots.base import Drawing, Plot
from magpie_hub.release.plots.text import count, listed, plain, rows, share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 16
"""Lines of a picture; what is beyond is summed up in the last."""

LINE = 0.29
"""Height of a line, in inches."""

NAMES = 2.9
"""Room of the names at most."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of `table`.

    Attributes:
        name: Any text.
        number: What the bar stands for.
        color: The bar's.
        start: Where the bar begins.
    """

    name: str
    number: int
    color: str = style.BLUE
    start: int = 0


def category_bars(stats: Mapping[str, Any]) -> Drawing | None:
    """Task categories, as in Figure 9 of arXiv 2406.08464v2."""
    return _ranked(stats, "task_category", "categories.png", "Task categories")


def language_bars(stats: Mapping[str, Any]) -> Drawing | None:
    """Languages of the first instruction, where there is more than one."""
    counts = _counts(stats, "language")
    if len(counts) < 2:
        return None
    return _ranked(stats, "language", "languages.png", "Languages")


def _counts(stats: Mapping[str, Any], column: str) -> dict[str, int]:
    found = stats.get("labels", {}).get(column, {}).get("counts", {})
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return {name: number for name, number in ranked if number}


def _ranked(stats: Mapping[str, Any], column: str, name: str, title: str) -> Drawing | None:
    counts = _counts(stats, column)
    if not counts:
        return None
    total, missing = sum(counts.values()), stats["labels"][column].get("missing", 0)
    lines = [Line(label, number) for label, number in counts.items()]
    figure = table(title, labelled(total, missing), fold(lines, "more labels"), total)
    first = [f"{plain(label)} {share(n, total)}" for label, n in list(counts.items())[:3]]
    alt = f"Bars of the shares of {rows(total)}: {listed(first)}"
    if len(counts) > 3:
        label, least = list(counts.items())[-1]
        alt += f" are the largest of {len(counts)}; {plain(label)} is the smallest with "
        alt += share(least, total)
    return Plot(name, title, alt + "."), figure


def labelled(total: int, missing: int) -> str:
    """The note under a title: how many rows have a label, and how many have not."""
    return rows(total) + (f"; {count(missing)} more without a label" if missing else "")


def fold(lines: Sequence[Line], what: str) -> list[Line]:
    """At most `MOST` lines; the last ones become one, "7 more labels"."""
    if len(lines) <= MOST:
        return list(lines)
    kept, rest = lines[: MOST - 1], lines[MOST - 1 :]
    total, start = sum(line.number for line in rest), min(line.start for line in rest)
    return [*kept, Line(f"{len(rest)} {what}", total, style.SHADE, start)]


def table(title: str, note: str, lines: Sequence[Line], whole: int) -> Figure:
    """Draws lines.

    Args:
        title: The picture's.
        note: The line under it.
        lines: From the top.
        whole: What the shares are of.
    """
    figure = style.sheet(title, note, len(lines) * LINE + 0.12)
    names = [style.fit(figure, line.name, NAMES) for line in lines]
    left = style.MARGIN + max(style.width(figure, name) for name in names) + 0.12
    numbers = [count(line.number) for line in lines]
    ends = style.WIDTH - style.MARGIN
    counts_end = ends - 0.62
    right = counts_end - max(style.width(figure, number) for number in numbers) - 0.15
    high = len(lines) * LINE
    axes = style.panel(figure, left, 0.12, right - left, high)
    longest = max(line.start + line.number for line in lines) or 1
    axes.set(xlim=(0, longest), ylim=(len(lines) - 0.5, -0.5))
    axes.spines["bottom"].set_visible(False)
    # A bar of one row in a million is seen too.
    least = longest * 0.01 / (right - left)
    for place, line in enumerate(lines):
        wide = max(line.number, least if line.number else 0)
        start = min(line.start, longest - wide)
        axes.barh(place, wide, left=start, height=0.66, facecolor=line.color, **style.FLAT)
        bottom = 0.12 + high - (place + 0.5) * LINE - 0.05
        style.place(figure, left - 0.12, bottom, names[place], ha="right")
        style.place(figure, counts_end, bottom, numbers[place], ha="right")
        part = share(line.number, whole)
        style.place(figure, ends, bottom, part, ha="right", color=style.SOFT)
    return figure
