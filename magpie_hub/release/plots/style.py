"""How all plots look: size, colours, fonts, and the figure that they are drawn on.

A plot is 760 pixels wide where the Hub shows it, and is written at twice that. Its background is
transparent, and each colour has a contrast of at least 3:1 with the Hub's white page and with its
dark one. The first colours follow Okabe and Ito (2008), so that colour-blind eyes tell them apart.
Sizes are inches, of which one is 100 pixels on the page, and points. matplotlib's constrained
layout keeps words from overlapping. All that a matplotlibrc may say of the looks is passed
explicitly, or it would show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from magpie_hub.release.plots.text import font_file, plain

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

WIDTH = 7.6
DPI = 200
HEAD = 0.8
"""Height of title and note."""

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
INK, SHADE = "#737A83", "#868D95"
PALETTE = (BLUE, VERMILLION, GREEN, "#BC669A", "#A88000", "#2F93CC", "#8F68C4", "#C2535B")
"""Colours of categories; those beyond are drawn in `SHADE`."""

TITLE, TEXT, SMALL = 13.0, 10.0, 9.0

FLAT: dict[str, Any] = {"linewidth": 0, "edgecolor": "none", "antialiased": True}
"""The look of an area: filled, without a rim."""


@dataclass(frozen=True, slots=True)
class PlotData:
    """What is drawn.

    Attributes:
        stats: What goes into ``stats.json``.
        coverage: Points of shape (rows, 2) by name of the set, the release's own first, as
            `magpie_hub.release.plots.tsne.project` returns them.
        categories: The `task_category` of each of the release's own points; empty without tags.
        threshold: Squared L2 distance below which rows are near-duplicates, if they were searched.
    """

    stats: Mapping[str, Any]
    coverage: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)
    categories: Sequence[str | None] = ()
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot that has been drawn.

    Attributes:
        name: Its file name.
        title: What it is about, in a few words; also written in it.
        alt: What is seen in it, with its numbers, for those who do not see it. One line of
            printable characters; names in it may hold any punctuation, Markdown's included.
    """

    name: str
    title: str
    alt: str


Drawing: TypeAlias = "tuple[Plot, Figure]"
"""A plot, and the figure that becomes its file."""


def sheet(
    title: str, note: str, height: float, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure under its title, with bare axes: no frame but a base line, no ticks, no margins.

    Args:
        title: A few words.
        note: A line under it.
        height: Height of what is below the two, in inches.
        rows: Rows of axes.
        columns: Axes side by side.

    Returns:
        The figure, and its axes row by row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    total = round((HEAD + height) * DPI) / DPI  # whole pixels
    edge = 0.1 / WIDTH
    layout = ConstrainedLayoutEngine(
        h_pad=0.08, w_pad=0.1, hspace=0.0, wspace=0.02,
        rect=(edge, 0.0, 1 - 2 * edge, 1 - HEAD / total),
    )  # fmt: skip
    figure = Figure((WIDTH, total), dpi=DPI, facecolor="none", linewidth=0, layout=layout)
    FigureCanvasAgg(figure)
    for words, down, size, bold in ((title, 0.32, TITLE, True), (note, 0.57, SMALL, False)):
        figure.text(0.2 / WIDTH, 1 - down / total, words, **_look(size, bold=bold))
    grid = figure.add_gridspec(rows, columns)
    return figure, [_bare(figure, grid[n // columns, n % columns]) for n in range(rows * columns)]


def _bare(figure: Figure, cell: Any) -> Axes:
    axes = figure.add_subplot(cell, facecolor="none", xscale="linear", yscale="linear")
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", edgecolor=SHADE, linewidth=0.8, antialiased=True)
    axes.grid(False, which="both")
    axes.minorticks_off()
    axes.set_axisbelow(True)
    axes.tick_params(
        which="both", left=False, right=False, top=False, bottom=False, labeltop=False,
        labelright=False, labelleft=True, labelbottom=True, length=0, pad=4, labelrotation=0,
        direction="out",
    )  # fmt: skip
    axes.set(xticks=[], yticks=[], xmargin=0, ymargin=0)
    return axes


def write(
    axes: Axes,
    words: str,
    at: tuple[float, float],
    offset: tuple[float, float] = (0, 0),
    *,
    within: Any = "axes fraction",
    **look: Any,
) -> None:
    """Writes words as they are, dollar signs included; the layout makes room for them.

    Args:
        axes: Where.
        words: What.
        at: A place in the coordinates `within`.
        offset: Points to the right of it and above it.
        within: As matplotlib's `xycoords`.
        look: `size`, `color`, `bold`, `ha`, `va`.
    """
    axes.annotate(
        words, at, xytext=offset, xycoords=within, textcoords="offset points",
        annotation_clip=False, **_look(**look),
    )  # fmt: skip


def ticks(
    axes: Axes, side: str, at: Sequence[float], labels: Sequence[str], *, size: float = SMALL
) -> None:
    """Labels the x axis or the y axis of `axes` at places in data coordinates."""
    axis = axes.xaxis if side == "x" else axes.yaxis
    ha, va = ("center", "top") if side == "x" else ("right", "center_baseline")
    axis.set_ticks(list(at), labels=list(labels), **_look(size, ha=ha, va=va))


def round_steps(low: float, high: float, most: int) -> list[float]:
    """Round numbers within a range, with at most `most` intervals between them."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    return [float(value) for value in found if low - slack <= value <= high + slack]


def fit(name: str, room: float, size: float = TEXT) -> str:
    """A name as `plain` writes it, cut to a width in inches."""
    text = plain(name)
    if _width(text, size) <= room:
        return text
    while text and _width(text + "…", size) > room:
        text = text[:-1].rstrip()
    return text + "…"


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG of few colours, without a date or a version in it."""
    import numpy as np
    from PIL import Image

    canvas: Any = figure.canvas  # the one of `sheet`, which has pixels
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    # A third of the bytes, and no difference to the eye.
    few = image.quantize(colors=256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(path, format="PNG", optimize=True)


def _width(words: str, size: float) -> float:
    from matplotlib.textpath import text_to_path

    points, _, _ = text_to_path.get_text_width_height_descent(words, _font(size), ismath=False)
    return float(points) / 72


def _look(
    size: float = TEXT,
    color: str = INK,
    *,
    bold: bool = False,
    ha: str = "left",
    va: str = "baseline",
) -> dict[str, Any]:
    return {
        "fontproperties": _font(size, bold), "color": color, "ha": ha, "va": va, "rotation": 0,
        "antialiased": True, "parse_math": False, "usetex": False,
    }  # fmt: skip


def _font(size: float, bold: bool = False) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(
        family="DejaVu Sans", style="normal", variant="normal", stretch="normal",
        weight="bold" if bold else "normal", size=size, fname=font_file(bold=bold),
    )  # fmt: skip
