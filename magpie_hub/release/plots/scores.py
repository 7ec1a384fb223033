"""Distances and rewards: histograms of the numbers that judges give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from magpie_hub.release.plots import style
from magpie_hub.release.plots.base import Drawing, Plot
from magpie_hub.release.plots.histograms import (
    WORDY,
    Histogram,
    fill,
    mark,
    percent_ticks,
    read,
    spread,
)
from magpie_hub.release.plots.text import count, rows, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXIS, GAP, FOOT, HIGH = 0.45, 0.15, 0.5, 1.9
"""Room left of a panel, between two and under them, and their height, in inches."""


def distance_histogram(stats: Mapping[str, Any]) -> Drawing | None:
    """Distance to the nearest other instruction, as in Figure 4a of arXiv 2406.08464v2."""
    found = _read(stats, "min_neighbor_distance")
    if found is None:
        return None
    title = "Distance to the nearest other instruction"
    figure = style.sheet(title, _note([found]), FOOT + HIGH + 0.35)
    left, wide = _places(1)[0]
    axes = _panel(figure, left, wide, [found], "squared L2 distance of unit vectors", low=0.0)
    fill(axes, found, found.bin, style.BLUE)
    _median(axes, found)
    _heading(figure, left, wide, 0, "", found)
    alt = (
        "Histogram of the squared L2 distance of an instruction's embedding to the nearest other: "
        f"{rows(found.count)}, {spread(found, form=WORDY)}."
    )
    return Plot("distances.png", title, alt), figure


def reward_histograms(stats: Mapping[str, Any]) -> Drawing | None:
    """Rewards, and by how much they exceed the base model's: Figure 4b of arXiv 2406.08464v2."""
    reward, base = _read(stats, "instruct_reward"), _read(stats, "base_reward")
    lead = _read(stats, "reward_difference")
    there = [one for one in (reward, lead) if one]
    if not there:
        return None
    title = "Rewards"
    figure = style.sheet(title, _note(there), FOOT + HIGH + (0.55 if reward and base else 0.35))
    places, said = _places(len(there)), []
    if reward:
        said.append(_reward(figure, *places[0], reward, base))
    if lead:
        said.append(_lead(figure, *places[-1], lead))
    return Plot("rewards.png", title, f"Histograms. {' '.join(said)}"), figure


def _reward(
    figure: Figure, left: float, wide: float, reward: Histogram, base: Histogram | None
) -> str:
    drawn = [reward, base] if base else [reward]
    axes = _panel(figure, left, wide, drawn, "reward")
    fill(axes, reward, reward.bin, style.BLUE)
    _median(axes, reward)
    said = f"Reward of the response: {rows(reward.count)}, {spread(reward, form=WORDY)}."
    if base is None:
        _heading(figure, left, wide, 0, "response", reward)
        return said
    heights = base.heights(reward.bin)
    axes.stairs(
        heights,
        base.edges,
        fill=False,
        edgecolor=style.VERMILLION,
        linewidth=1.6,
        antialiased=True,
        capstyle="butt",
        joinstyle="miter",
    )
    _heading(figure, left, wide, 1, "response", reward, style.BLUE)
    _heading(figure, left, wide, 0, "base model", base, style.VERMILLION)
    words = f"{rows(base.count)}, {spread(base, form=WORDY)}"
    return f"{said} Reward of the base model's answer: {words}."


def _lead(figure: Figure, left: float, wide: float, lead: Histogram) -> str:
    axes = _panel(figure, left, wide, [lead], "reward less the base model's")
    fill(axes, lead, lead.bin, style.BLUE, below=style.VERMILLION)
    if axes.get_xlim()[0] < 0 < axes.get_xlim()[1]:
        mark(axes, 0)
    _median(axes, lead)
    _heading(figure, left, wide, 0, "difference", lead)
    words = f"{rows(lead.count)}, {spread(lead, form=WORDY)}"
    return f"Reward less the base model's: {words}."


def _read(stats: Mapping[str, Any], column: str) -> Histogram | None:
    return read(stats.get("numbers", {}).get(column))


def _note(there: Sequence[Histogram]) -> str:
    """How many rows the panels are of, if they agree, and how to read them."""
    how = "share by bin; dashed: median; brackets: 90% of rows"
    if len({(one.count, one.missing) for one in there}) > 1:
        return how
    missing = there[0].missing
    less = f", {count(missing)} more without" if missing else ""
    return f"{rows(there[0].count)}{less}; {how}"


def _places(number: int) -> list[tuple[float, float]]:
    """Left end and width of so many panels."""
    room = style.WIDTH - 2 * style.MARGIN - GAP * (number - 1)
    step = room / number
    return [(style.MARGIN + n * (step + GAP) + AXIS, step - AXIS) for n in range(number)]


def _panel(
    figure: Figure,
    left: float,
    wide: float,
    drawn: Sequence[Histogram],
    unit: str,
    *,
    low: float | None = None,
) -> Axes:
    """A panel on whose axes all of `drawn` have room, from `low` if that is given."""
    axes = style.panel(figure, left, FOOT, wide, HIGH)
    starts = [one.edges[0] for one in drawn]
    first, last = min(starts if low is None else [*starts, low]), max(d.edges[-1] for d in drawn)
    margin = 0.01 * (last - first)
    axes.set_xlim(first - margin, last + margin)
    at = style.steps(first, last, 6)
    style.ticks(axes, "x", at, [short(tick) for tick in at])
    percent_ticks(axes, max(max(one.heights(drawn[0].bin)) for one in drawn))
    style.place(figure, left + wide, 0.12, unit, ha="right", **style.QUIET)
    return axes


def _heading(
    figure: Figure,
    left: float,
    wide: float,
    line: int,
    name: str,
    found: Histogram,
    color: str = style.INK,
) -> None:
    """A line over a panel, counted from below: what is drawn in which colour, and its spread."""
    bottom = FOOT + HIGH + 0.1 + 0.2 * line
    style.place(figure, left, bottom, name, bold=True, color=color)
    room = wide - style.width(figure, name, bold=True) - 0.05
    said = spread(found)
    if style.width(figure, said, **style.QUIET) > room:
        said = spread(found, form="median {}")
    style.place(figure, left + wide, bottom, said, ha="right", **style.QUIET)


def _median(axes: Axes, found: Histogram) -> None:
    if found.median is not None:
        mark(axes, found.median, dashed=True)
