"""Input quality and difficulty: columns in the order of the scale, empty levels included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from magpie_hub.recipe.selection import Difficulty, Quality
from magpie_hub.release.plots import style
from magpie_hub.release.plots.bars import labelled
from magpie_hub.release.plots.base import Drawing, Plot
from magpie_hub.release.plots.text import count, listed, rows, share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALES = (
    ("input_quality", "Input quality", get_args(Quality)),
    ("difficulty", "Difficulty", get_args(Difficulty)),
)

GAP = 0.35
"""Between two scales, in inches."""

HIGH, FOOT = 1.65, 0.48
"""Of the highest column, and of the room under it for the levels' names."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """Counts by level, in the scale's order."""

    title: str
    counts: dict[str, int]
    missing: int

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def level_columns(stats: Mapping[str, Any]) -> Drawing | None:
    """Quality and difficulty side by side, as in Figure 3 of arXiv 2406.08464v2."""
    scales = [scale for scale in (_scale(stats, *named) for named in SCALES) if scale.total]
    if not scales:
        return None
    title = " and ".join(scale.title for scale in scales)
    title = title[0] + title[1:].lower()
    same = len({(scale.total, scale.missing) for scale in scales}) == 1
    note = labelled(scales[0].total, scales[0].missing) if same else "rows that have a label"
    figure = style.sheet(title, note, FOOT + HIGH + (0.6 if len(scales) > 1 else 0.35))
    wide = (style.WIDTH - 2 * style.MARGIN - GAP * (len(scales) - 1)) / len(scales)
    top = max(number / scale.total for scale in scales for number in scale.counts.values())
    said = []
    for place, scale in enumerate(scales):
        left = style.MARGIN + place * (wide + GAP)
        _columns(figure, scale, left, wide, top, named=len(scales) > 1)
        shares = [f"{level} {share(number, scale.total)}" for level, number in scale.counts.items()]
        said.append(f"{scale.title} of {rows(scale.total)}: {listed(shares)}.")
    return Plot("levels.png", title, "Columns. " + " ".join(said)), figure


def _scale(stats: Mapping[str, Any], column: str, title: str, names: tuple[str, ...]) -> _Scale:
    found = stats.get("labels", {}).get(column, {})
    given = dict(found.get("counts", {}))
    counts = {name: given.pop(name, 0) for name in names}
    if sum(given.values()):
        counts["other"] = sum(given.values())
    return _Scale(title, counts, found.get("missing", 0))


def _columns(
    figure: Figure, scale: _Scale, left: float, wide: float, top: float, *, named: bool
) -> None:
    axes = style.panel(figure, left, FOOT, wide, HIGH)
    axes.set(xlim=(-0.5, len(scale.counts) - 0.5), ylim=(0, top))
    shares = [number / scale.total for number in scale.counts.values()]
    axes.bar(range(len(shares)), shares, width=0.72, facecolor=style.BLUE, **style.FLAT)
    step = wide / len(shares)
    for place, (name, number) in enumerate(scale.counts.items()):
        middle, bottom = left + (place + 0.5) * step, FOOT + HIGH * shares[place] / top
        for line, word in enumerate(name.split(" ")):
            low = FOOT - 0.2 - 0.16 * line
            style.place(figure, middle, low, word, ha="center", size=style.SMALL)
        percent = share(number, scale.total)
        style.place(figure, middle, bottom + (0.2 if number else 0.06), percent, ha="center")
        if number:
            said = count(number)
            style.place(figure, middle, bottom + 0.06, said, ha="center", size=8, color=style.SOFT)
    if named:
        style.place(figure, left, FOOT + HIGH + 0.45, scale.title, bold=True)
