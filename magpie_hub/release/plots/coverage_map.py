"""The coverage map: where the instructions lie, beside those of other sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from magpie_hub.release.plots import style
from magpie_hub.release.plots.base import Drawing, Plot
from magpie_hub.release.plots.text import count, listed, plain

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Points = NDArray[np.floating[Any]]

GAP, HEADING, TALL = 0.18, 0.4, 4.4
"""Between panels, over each, and the height of one at most, in inches."""

DOTS = 24_000
"""Dots of a picture at most, so that its file stays small: every set is drawn in every panel."""


def coverage_map(coverage: Mapping[str, Points]) -> Drawing | None:
    """One panel a set, its points over all others', as in Figure 8 of arXiv 2406.08464v2.

    Side by side rather than on top of each other, since the set drawn last would hide the rest.

    Args:
        coverage: Points by set, the release's own first; those of all sets in one map.
    """
    import numpy as np

    there = {name: np.asarray(points) for name, points in coverage.items() if len(points)}
    sets = {name: _thinned(points, len(there)) for name, points in there.items()}
    if not sets:
        return None
    alone = len(sets) == 1
    title = "Coverage" if alone else "Coverage beside other sets"
    shown = sum(map(len, sets.values()))
    what = f"{count(shown)} instructions" if alone else "one dot per instruction"
    note = f"{what}; similar ones lie close together (t-SNE of embeddings)"
    columns = {1: 1, 2: 2, 4: 2}.get(len(sets), 3)
    lines = -(-len(sets) // columns)
    wide = (style.WIDTH - 2 * style.MARGIN - GAP * (columns - 1)) / columns
    high = min(wide, TALL)
    step = high + (0 if alone else HEADING)
    figure = style.sheet(title, note, lines * step + style.MARGIN - 0.1)
    everything = np.concatenate(list(sets.values()))
    for place, (name, points) in enumerate(sets.items()):
        line, column = divmod(place, columns)
        left = style.MARGIN + column * (wide + GAP)
        bottom = style.MARGIN + (lines - 1 - line) * step
        axes = style.panel(figure, left, bottom, wide, high)
        _view(axes, everything, wide / high, framed=not alone)
        if not alone:
            _dots(axes, everything, style.PALE, 2.5)
            _heading(figure, left, bottom + high + 0.09, wide, name, len(points))
        color = style.VERMILLION if place else style.BLUE
        _dots(axes, points, color, min(12.0, 9000 / len(points)) if alone else 2.5)
    said = listed(f"{plain(name)} ({count(len(points))} shown)" for name, points in sets.items())
    return Plot("coverage.png", title, f"Map of embedded instructions by t-SNE: {said}."), figure


def _thinned(points: Points, sets: int) -> Points:
    """Every so-manieth point, as many as one of so many sets may have."""
    most = max(1, DOTS // (sets * (sets + 1)))
    return points[:: -(-len(points) // most)]


def _heading(
    figure: Figure, left: float, bottom: float, wide: float, name: str, number: int
) -> None:
    size = f"{count(number)} shown"
    room = wide - style.width(figure, size, size=style.SMALL) - 0.1
    style.place(figure, left, bottom, style.fit(figure, name, room, bold=True), bold=True)
    style.place(figure, left + wide, bottom, size, ha="right", **style.QUIET)


def _view(axes: Axes, points: Points, ratio: float, *, framed: bool) -> None:
    """Lets all points into view, at one scale for both axes."""
    low, high = points.min(axis=0), points.max(axis=0)
    across, up = (low + high) / 2
    reach = 0.52 * max((high - low)[0] / ratio, (high - low)[1], 1e-9)
    axes.set_xlim(across - reach * ratio, across + reach * ratio)
    axes.set_ylim(up - reach, up + reach)
    for spine in axes.spines.values():
        spine.set(visible=framed, edgecolor=style.GRID)


def _dots(axes: Axes, points: Points, color: str, size: float) -> None:
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=size,
        c=color,
        marker="o",
        linewidths=0,
        edgecolors="none",
        plotnonfinite=False,
        antialiased=False,  # Shades of thousands of rims are most of a file.
    )
