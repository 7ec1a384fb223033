"""Plots of bars: the funnel, task categories, languages, and levels of quality and difficulty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from magpie_hub.recipe.selection import Difficulty, Quality
from magpie_hub.release.card.numbers import count, plural, share
from magpie_hub.release.plots import style
from magpie_hub.release.plots.style import Drawing, Plot, PlotData
from magpie_hub.release.plots.text import listed, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 16
"""Bars of a plot; those beyond are summed up in the last."""

NAMES = 2.9
"""Width of the names at most, in inches."""

SCALES = (
    ("input_quality", "Input quality", get_args(Quality)),
    ("difficulty", "Difficulty", get_args(Difficulty)),
)


class Bar(NamedTuple):
    """A bar beside its name: rows, a colour, and the number of rows that it begins at."""

    name: str
    rows: int
    color: str = style.BLUE
    start: int = 0


def funnel(data: PlotData) -> Drawing | None:
    """Planned rows, what each reason took of them, and what was left; none if nothing was taken."""
    found = data.stats.get("funnel", {})
    planned, delivered = found.get("planned", 0), found.get("delivered", 0)
    reasons = {reason: rows for reason, rows in found.get("rejected", {}).items() if rows}
    if not planned or not reasons:
        return None
    bars, left = [], planned
    for reason, rows in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        left -= rows
        bars.append(Bar(reason, rows, style.VERMILLION, max(0, left)))
    bars = [
        Bar("planned", planned, style.SHADE),
        *_fold(bars, "more reasons"),
        Bar("delivered", delivered),
    ]
    first = listed(f"{plain(bar.name)} {count(bar.rows)}" for bar in bars[1:-1][:3])
    of = plural(planned, "row")
    title = "From planned to delivered"
    note = f"{count(delivered)} of {of} delivered; the others by why they were rejected"
    alt = (
        f"Of {of} planned, {count(delivered)} ({share(delivered, planned)}) were delivered. "
        f"Rejected were {count(sum(reasons.values()))} for {plural(len(reasons), 'reason')}"
        f"{':' if len(reasons) <= 3 else ', most of them'} {first}."
    )
    return Plot("funnel.png", title, alt), _beside_names(title, note, bars, planned)


def categories(data: PlotData) -> Drawing | None:
    """Task categories, as in Figure 9 of arXiv 2406.08464v2."""
    return _ranked(data, "task_category", "categories.png", "Task categories", least=1)


def languages(data: PlotData) -> Drawing | None:
    """Languages of the first instruction, where there is more than one."""
    return _ranked(data, "language", "languages.png", "Languages", least=2)


def levels(data: PlotData) -> Drawing | None:
    """Quality and difficulty side by side, as in Figure 3 of arXiv 2406.08464v2."""
    scales: dict[str, tuple[dict[str, int], int]] = {}
    for column, name, scale in SCALES:
        found = data.stats.get("labels", {}).get(column, {})
        given = dict(found.get("counts", {}))
        counts = {level: given.pop(level, 0) for level in scale}
        if other := sum(given.values()):
            counts["other"] = other
        if sum(counts.values()):
            scales[name] = (counts, found.get("missing", 0))
    if not scales:
        return None
    title = " and ".join(scales).capitalize()
    notes = {_labelled(sum(counts.values()), missing) for counts, missing in scales.values()}
    note = notes.pop() if len(notes) == 1 else "rows that have a label"
    figure, panels = style.sheet(title, note, 2.5, columns=len(scales))
    top = max(max(counts.values()) / sum(counts.values()) for counts, _ in scales.values())
    alt = ["Columns."]
    for axes, (name, (counts, _)) in zip(panels, scales.items(), strict=True):
        _upright(axes, counts, top)
        if len(scales) > 1:
            style.write(axes, name, (0, 1), (0, 10), bold=True)
        total = sum(counts.values())
        shares = listed(f"{level} {share(rows, total)}" for level, rows in counts.items())
        alt.append(f"{name} of {plural(total, 'row')}: {shares}.")
    return Plot("levels.png", title, " ".join(alt)), figure


def ranked(counts: Mapping[str, int]) -> dict[str, int]:
    """Labels that some rows have, the commonest first."""
    return dict(sorted((item for item in counts.items() if item[1]), key=lambda i: (-i[1], i[0])))


def _ranked(data: PlotData, column: str, name: str, title: str, least: int) -> Drawing | None:
    found = data.stats.get("labels", {}).get(column, {})
    counts = ranked(found.get("counts", {}))
    if len(counts) < least:
        return None
    total = sum(counts.values())
    shares = [f"{plain(label)} {share(rows, total)}" for label, rows in counts.items()]
    alt = f"Bars of the shares of {plural(total, 'row')}: {listed(shares[:3])}"
    if len(counts) > 3:
        last = " is the smallest with ".join(shares[-1].rsplit(" ", 1))
        alt += f" are the largest of {len(counts)}; {last}"
    bars = _fold([Bar(*item) for item in counts.items()], "more labels")
    note = _labelled(total, found.get("missing", 0))
    return Plot(name, title, f"{alt}."), _beside_names(title, note, bars, total)


def _labelled(rows: int, missing: int) -> str:
    less = f"; {count(missing)} more without a label" if missing else ""
    return plural(rows, "row") + less


def _fold(bars: Sequence[Bar], what: str) -> list[Bar]:
    """At most `MOST` bars; the last ones become one, "7 more labels"."""
    if len(bars) <= MOST:
        return list(bars)
    rest = bars[MOST - 1 :]
    total, start = sum(bar.rows for bar in rest), min(bar.start for bar in rest)
    return [*bars[: MOST - 1], Bar(f"{len(rest)} {what}", total, style.SHADE, start)]


def _beside_names(title: str, note: str, bars: Sequence[Bar], whole: int) -> Figure:
    """Draws bars from the top, each with its name, its rows, and their share of the whole."""
    figure, (axes,) = style.sheet(title, note, len(bars) * 0.29 + 0.12)
    longest = max(bar.start + bar.rows for bar in bars) or 1
    axes.set(xlim=(0, longest), ylim=(len(bars) - 0.5, -0.5))
    axes.spines["bottom"].set_visible(False)
    names = [style.fit(bar.name, NAMES) for bar in bars]
    style.ticks(axes, "y", range(len(bars)), names, size=style.TEXT)
    line: dict[str, Any] = {"within": axes.get_yaxis_transform(), "va": "center_baseline"}
    for place, bar in enumerate(bars):
        wide = max(bar.rows, 0.003 * longest if bar.rows else 0)  # one in a million is seen too
        start = min(bar.start, longest - wide)
        axes.barh(place, wide, left=start, height=0.66, facecolor=bar.color, **style.FLAT)
        style.write(axes, count(bar.rows), (1, place), (68, 0), ha="right", **line)
        style.write(axes, share(bar.rows, whole), (1, place), (112, 0), ha="right", **line)
    return figure


def _upright(axes: Axes, counts: Mapping[str, int], top: float) -> None:
    """Draws a scale as columns, its empty levels included."""
    total = sum(counts.values())
    shares = [rows / total for rows in counts.values()]
    axes.set(xlim=(-0.5, len(shares) - 0.5), ylim=(0, top))
    axes.bar(range(len(shares)), shares, width=0.72, facecolor=style.BLUE, **style.FLAT)
    style.ticks(axes, "x", range(len(shares)), [level.replace(" ", "\n") for level in counts])
    for place, rows in enumerate(counts.values()):
        said: dict[str, Any] = {"within": "data", "ha": "center"}
        at = (place, rows / total)
        style.write(axes, share(rows, total), at, (0, 14 if rows else 4), **said)
        if rows:
            style.write(axes, count(rows), at, (0, 4), size=8, **said)
