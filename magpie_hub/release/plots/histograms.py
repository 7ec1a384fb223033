"""Plots of distributions: lengths, distances and rewards."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from magpie_hub.generate.plan import turn_suffix
from magpie_hub.release.card.numbers import count, plural
from magpie_hub.release.plots import style
from magpie_hub.release.plots.histogram import Histogram, read_histogram
from magpie_hub.release.plots.style import Drawing, Plot, PlotData
from magpie_hub.release.plots.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORDY = "median {}, 90% of rows within {} to {}"
"""The form of `Histogram.spread` for those who do not see the plot."""


def lengths(data: PlotData) -> Drawing | None:
    """Tokens by turn, on an axis of doublings; as in Figure 7 of arXiv 2406.08464v2."""
    found, turns = data.stats.get("lengths", {}), data.stats.get("turns", 0)
    sides = {"instruction": style.BLUE, "response": style.GREEN}
    columns = {
        side: [
            read_histogram(found.get(f"{side}_tokens{turn_suffix(turn)}"), log=True)
            for turn in range(1, turns + 1)
        ]
        for side in sides
    }
    there = {side: [one for one in column if one] for side, column in columns.items()}
    if not any(there.values()):
        return None
    title = "Lengths" if turns == 1 else "Lengths by turn"
    note = "share of rows by bin, tokens in doublings; dashed: median; brackets: 90% of rows"
    figure, panels = style.sheet(title, note, 2.55 if turns == 1 else 0.5 + 1.35 * turns, turns, 2)
    alt = []
    for turn in range(turns):
        for axes, side in zip(panels[2 * turn : 2 * turn + 2], sides, strict=True):
            name, one = side if turns == 1 else f"{side} {turn + 1}", columns[side][turn]
            if not there[side]:
                axes.set_visible(False)
                continue
            _scale(axes, there[side], there[side][0].bin, 4 if turns == 1 else 3)
            spread = one.spread(whole=True) if one else ""
            _heading(axes, name, spread)
            if turn == turns - 1:
                low, high = _range(there[side])
                at = doublings(low, high)
                style.ticks(axes, "x", [math.log2(n) for n in at], [f"{n:,}" for n in at])
                _unit(axes, "tokens")
            if one:
                _fill(axes, one, there[side][0].bin, sides[side])
                if one.median:
                    _line(axes, math.log2(one.median), dashed=True)
                alt.append(f"{name}: {spread}")
    rows = plural(max(one.count for column in there.values() for one in column), "row")
    said = f"Histograms of tokens of {rows}, in brackets the range of 90% of them."
    return Plot("lengths.png", title, f"{said} {'; '.join(alt)}."), figure


def distances(data: PlotData) -> Drawing | None:
    """Distance to the nearest other instruction, as in Figure 4a of arXiv 2406.08464v2."""
    found = _number(data, "min_neighbor_distance")
    if found is None:
        return None
    title = "Distance to the nearest other instruction"
    figure, (axes,) = style.sheet(title, _note([found]), 2.7)
    limit = data.threshold
    _axis(axes, [found], "squared L2 distance of unit vectors", (0.0, limit or 0.0))
    _fill(axes, found, found.bin, style.BLUE)
    _median(axes, found)
    style.write(axes, found.spread(), (1, 1), (0, 6), ha="right", size=style.SMALL)
    alt = (
        "Histogram of the squared L2 distance of an instruction's embedding to the nearest other: "
        f"{_wordy(found)}."
    )
    if limit is not None:
        _line(axes, limit, color=style.VERMILLION)
        words = f"near-duplicates below {short(limit)}"
        style.write(axes, words, (0, 1), (0, 6), size=style.SMALL, color=style.VERMILLION)
        alt += f" Rows nearer than {short(limit)} are near-duplicates."
    return Plot("distances.png", title, alt), figure


def rewards(data: PlotData) -> Drawing | None:
    """Rewards, and by how much they exceed the base model's: Figure 4b of arXiv 2406.08464v2."""
    reward, base = _number(data, "instruct_reward"), _number(data, "base_reward")
    lead = _number(data, "reward_difference")
    there = [one for one in (reward, lead) if one]
    if not there:
        return None
    figure, panels = style.sheet("Rewards", _note(there), 2.8, columns=len(there))
    alt = []
    if reward:
        axes, drawn = panels[0], [one for one in (reward, base) if one]
        _axis(axes, drawn, "reward")
        _fill(axes, reward, reward.bin, style.BLUE)
        _median(axes, reward)
        alt.append(f"Reward of the response: {_wordy(reward)}.")
        _heading(axes, "response", reward.spread(), line=len(drawn) - 1, color=style.BLUE)
        if base:
            axes.stairs(
                base.heights(reward.bin), base.edges, fill=False, edgecolor=style.VERMILLION,
                linewidth=1.6, antialiased=True, capstyle="butt", joinstyle="miter",
            )  # fmt: skip
            _heading(axes, "base model", base.spread(), color=style.VERMILLION)
            alt.append(f"Reward of the base model's answer: {_wordy(base)}.")
    if lead:
        axes = panels[-1]
        _axis(axes, [lead], "reward less the base model's")
        _fill(axes, lead, lead.bin, style.BLUE, below=style.VERMILLION)
        if lead.edges[0] < 0 < lead.edges[-1]:
            _line(axes, 0)
        _median(axes, lead)
        _heading(axes, "difference", lead.spread())
        alt.append(f"Reward less the base model's: {_wordy(lead)}.")
    return Plot("rewards.png", "Rewards", f"Histograms. {' '.join(alt)}"), figure


def _fill(
    axes: Axes, histogram: Histogram, unit: float, color: str, *, below: str | None = None
) -> None:
    """Draws a histogram as an area.

    Args:
        axes: Where.
        histogram: What.
        unit: Of `Histogram.heights`.
        color: Its colour.
        below: Colour of what is below zero, if another one.
    """
    heights, edges = histogram.heights(unit), histogram.edges
    parts = [(heights, edges, color)]
    if below is not None and edges[0] < 0:
        # The bin that zero lies in is cut there; both parts have its density.
        place = bisect_left(edges, 0.0)
        parts = [(heights, edges, below)]
        if place < len(edges):
            parts = [
                (heights[:place], (*edges[:place], 0.0), below),
                (heights[place - 1 :], (0.0, *edges[place:]), color),
            ]
    for high, ends, one in parts:
        axes.stairs(high, ends, fill=True, facecolor=one, **style.FLAT)


def doublings(low: float, high: float) -> list[int]:
    """Numbers of tokens that label an axis from 2^low to 2^high: powers of two, if they suffice."""
    powers = range(max(0, math.ceil(low - 1e-9)), math.floor(high + 1e-9) + 1)
    if len(powers) >= 3:
        return [2**power for power in powers[:: -(-len(powers) // 7)]]
    steps = style.round_steps(2**low, 2**high, 4)
    return [int(value) for value in steps if value >= 1 and float(value).is_integer()]


def _number(data: PlotData, column: str) -> Histogram | None:
    return read_histogram(data.stats.get("numbers", {}).get(column))


def _note(there: Sequence[Histogram]) -> str:
    """How many rows the panels are of, if they agree, and how to read them."""
    how = "share by bin; dashed: median; brackets: 90% of rows"
    if len({(one.count, one.missing) for one in there}) > 1:
        return how
    missing = there[0].missing
    less = f", {count(missing)} more without" if missing else ""
    return f"{plural(there[0].count, 'row')}{less}; {how}"


def _wordy(found: Histogram) -> str:
    return ", ".join(filter(None, (plural(found.count, "row"), found.spread(WORDY))))


def _range(drawn: Sequence[Histogram]) -> tuple[float, float]:
    return min(one.edges[0] for one in drawn), max(one.edges[-1] for one in drawn)


def _scale(axes: Axes, drawn: Sequence[Histogram], unit: float, most: int = 4) -> None:
    """Gives axes room for histograms, and labels their shares with thin lines across."""
    low, high = _range(drawn)
    axes.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
    top = 1.04 * max(max(one.heights(unit)) for one in drawn)
    axes.set_ylim(0, top)
    at = style.round_steps(0, top, most)
    style.ticks(axes, "y", at, [f"{short(100 * tick)}%" for tick in at])
    axes.yaxis.grid(True, color=style.SHADE, linewidth=0.6, linestyle="-", alpha=0.35,
                    antialiased=True)  # fmt: skip


def _axis(axes: Axes, drawn: Sequence[Histogram], unit: str, also: Sequence[float] = ()) -> None:
    """Scales axes to histograms and to the numbers `also`, and labels them."""
    _scale(axes, drawn, drawn[0].bin)
    low, high = _range(drawn)
    low, high = min((low, *also)), max((high, *also))
    axes.set_xlim(low - 0.01 * (high - low), high + 0.01 * (high - low))
    at = style.round_steps(low, high, 6)
    style.ticks(axes, "x", at, [short(tick) for tick in at])
    _unit(axes, unit)


def _unit(axes: Axes, words: str) -> None:
    style.write(axes, words, (1, 0), (0, -28), ha="right", size=style.SMALL)


def _heading(axes: Axes, name: str, spread: str, line: int = 0, color: str = style.INK) -> None:
    """A line over axes, counted from below: what is drawn in which colour, and its spread."""
    up = 6 + 14 * line
    style.write(axes, name, (0, 1), (0, up), bold=True, color=color)
    if len(name) + len(spread) > 42:
        spread = spread.partition(" (")[0]
    style.write(axes, spread, (1, 1), (0, up), ha="right", size=style.SMALL)


def _median(axes: Axes, found: Histogram) -> None:
    if found.median is not None:
        _line(axes, found.median, dashed=True)


def _line(axes: Axes, x: float, *, dashed: bool = False, color: str = style.INK) -> None:
    """A thin upright line; a dashed one is a median."""
    axes.axvline(
        x, color=color, linewidth=1 if dashed else 1.5, linestyle=(0, (5, 2)) if dashed else "-",
        dash_capstyle="butt", solid_capstyle="butt", antialiased=True,
    )  # fmt: skip
