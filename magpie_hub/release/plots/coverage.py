"""The coverage map: where the instructions lie, by category and beside those of other sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from magpie_hub.release.card.numbers import count, share
from magpie_hub.release.plots import style
from magpie_hub.release.plots.bars import ranked
from magpie_hub.release.plots.style import Drawing, Plot, PlotData
from magpie_hub.release.plots.text import listed, plain

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Points = NDArray[np.floating[Any]]

DOTS = 24_000
"""Dots of a plot at most, so that its file stays small: every set is drawn in every panel."""


def coverage(data: PlotData) -> Drawing | None:
    """One panel a set, its points over all others', as in Figure 8 of arXiv 2406.08464v2.

    Side by side rather than on top of each other, since the set drawn last would hide the rest.
    """
    import numpy as np

    found = {name: np.asarray(points) for name, points in data.coverage.items() if len(points)}
    if not found:
        return None
    most = max(1, DOTS // (len(found) * (len(found) + 1)))
    steps = {name: -(-len(points) // most) for name, points in found.items()}
    sets = {name: points[:: steps[name]] for name, points in found.items()}
    own, alone = next(iter(sets)), len(sets) == 1
    labels = _labels(data, own, len(found[own]))[:: steps[own]]
    columns = {1: 1, 2: 2, 4: 2}.get(len(sets), 3)
    rows = -(-len(sets) // columns)
    title = "Coverage" if alone else "Coverage beside other sets"
    what = f"{count(len(sets[own]))} instructions" if alone else "one dot per instruction"
    note = f"{what}; similar ones lie close together (t-SNE of embeddings)"
    room = style.WIDTH - (2.3 if labels else 0.4)
    height = min(4.5, room / columns + 0.5) * rows
    figure, panels = style.sheet(title, note, height, rows, columns)
    everything = np.concatenate(list(sets.values()))
    for axes, (name, points) in zip(panels, sets.items(), strict=False):
        _view(axes, everything, framed=not alone)
        size = min(12.0, 9000 / len(points)) if alone else 2.5
        if not alone:
            _dots(axes, everything, style.SHADE, size, alpha=0.25)
            style.write(axes, style.fit(name, room / columns - 0.3), (0, 1), (0, 6), bold=True)
            shown = f"{count(len(points))} shown"
            style.write(axes, shown, (0, 0), (0, -12), size=style.SMALL)
        if name == own and labels:
            _by_category(axes, points, labels, size, panels[columns - 1])
        else:
            _dots(axes, points, style.BLUE if name == own else style.VERMILLION, size)
    for axes in panels[len(sets) :]:
        axes.set_visible(False)
    said = listed(f"{plain(name)} ({count(len(points))} shown)" for name, points in sets.items())
    alt = f"Map of embedded instructions by t-SNE: {said}."
    if labels:
        common = list(ranked(Counter(labels)).items())[:3]
        first = listed(f"{plain(label)} {share(rows, len(labels))}" for label, rows in common)
        alt += f" Coloured by category: {first} are the largest."
    return Plot("coverage.png", title, alt), figure


def _labels(data: PlotData, own: str, points: int) -> list[str]:
    """The category of each of the release's own points; none if they are of other rows."""
    if own != next(iter(data.coverage)) or len(data.categories) != points:
        return []
    labels = [label or "no label" for label in data.categories]
    return labels if set(labels) != {"no label"} else []


def _by_category(
    axes: Axes, points: Points, labels: Sequence[str], size: float, beside: Axes
) -> None:
    """Draws points in the colours of their categories, with a legend right of the axes `beside`."""
    import numpy as np

    names = [name for name in ranked(Counter(labels)) if name != "no label"]
    colors = dict(zip(names, style.PALETTE, strict=False))
    drawn = np.array([colors.get(label, style.SHADE) for label in labels])
    legend = list(colors.items())
    if len(colors) < len(set(labels)):
        legend.append(("other" if len(names) > len(colors) else "no label", style.SHADE))
    for place, (name, color) in enumerate(legend):
        words = f"● {style.fit(name, 1.6, style.SMALL)}"
        style.write(beside, words, (1, 1), (10, -12 - 14 * place), color=color, size=style.SMALL)
    _dots(axes, points, list(drawn), size)


def _view(axes: Axes, points: Points, *, framed: bool) -> None:
    """Lets all points into view, at one scale for both axes."""
    low, high = points.min(axis=0), points.max(axis=0)
    reach = 0.52 * max(*(high - low), 1e-9)
    middle = (low + high) / 2
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)
    axes.set_aspect("equal", adjustable="box")
    for spine in axes.spines.values():
        spine.set(visible=framed)


def _dots(
    axes: Axes, points: Points, color: str | list[str], size: float, alpha: float = 1
) -> None:
    axes.scatter(
        points[:, 0], points[:, 1], s=size, c=color, alpha=alpha, marker="o", linewidths=0,
        edgecolors="none", plotnonfinite=False,
        antialiased=False,  # shades of thousands of rims are most of a file
    )  # fmt: skip
