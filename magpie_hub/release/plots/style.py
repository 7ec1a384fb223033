"""How all pictures look: size, colours, font, and the sheet that they are drawn on.

A picture is 760 pixels wide where the Hub shows it, and is written at twice that. It is an opaque
white sheet with dark words, which reads on the Hub's light and dark page alike. Colours are those
of Okabe and Ito (2008), told apart by colour-blind eyes. Sizes are in inches of the sheet, of
which one is 100 pixels on the page, and in points, of which ten are 14 pixels.

What a person's matplotlibrc says of the looks is said here again, or it would show; how paths and
glyphs become pixels (`path.snap`, `path.sketch`, `text.hinting`) is left to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.release.plots.text import font_file, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

WIDTH = 7.6
DPI = 200
MARGIN = 0.2
HEAD = 0.82
"""Room of title and note."""

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PAPER, INK, SOFT, SHADE = "#FFFFFF", "#1F2328", "#59636E", "#8B949E"
PALE, GRID = "#D5DAE0", "#E4E7EB"

TITLE, TEXT, SMALL = 13.0, 10.0, 9.0

QUIET: dict[str, Any] = {"size": SMALL, "color": SOFT}
"""The look of what is said in passing."""

FLAT: dict[str, Any] = {"linewidth": 0, "edgecolor": "none", "antialiased": True}
"""The look of an area: filled, without a rim."""


def sheet(title: str, note: str, body: float) -> Figure:
    """An empty sheet under its title.

    Args:
        title: A few words.
        note: A line under it, in softer ink.
        body: Height under the two.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = round((HEAD + body) * DPI) / DPI  # Whole pixels.
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER, linewidth=0)
    figure.set_layout_engine("none")
    FigureCanvasAgg(figure)
    place(figure, MARGIN, height - 0.32, title, size=TITLE, bold=True)
    place(figure, MARGIN, height - 0.57, note, **QUIET)
    return figure


def place(figure: Figure, left: float, bottom: float, words: str, **look: Any) -> Text:
    """Writes words on a sheet, their baseline at a place in inches; see `write`."""
    width, height = figure.get_size_inches()
    return write(figure, left / width, bottom / height, words, **look)


def write(
    target: Figure | Axes,
    x: float,
    y: float,
    words: str,
    *,
    size: float = TEXT,
    color: str = INK,
    bold: bool = False,
    ha: str = "left",
    va: str = "baseline",
) -> Text:
    """Writes words as they are, dollar signs included."""
    return target.text(
        x,
        y,
        words,
        fontproperties=_font(size, bold),
        color=color,
        horizontalalignment=ha,
        verticalalignment=va,
        antialiased=True,
        parse_math=False,
        usetex=False,
    )


def fit(figure: Figure, name: str, room: float, **look: Any) -> str:
    """A name as `plain` writes it, cut to a width in inches; for the look see `write`."""
    text = plain(name)
    if width(figure, text, **look) <= room:
        return text
    while text and width(figure, text + "…", **look) > room:
        text = text[:-1].rstrip()
    return text + "…"


def width(figure: Figure, words: str, **look: Any) -> float:
    """Width of words in inches; for the look see `write`."""
    text = write(figure, 0, 0, words, **look)
    extent = text.get_window_extent().width / DPI
    text.remove()
    return float(extent)


def panel(figure: Figure, left: float, bottom: float, wide: float, high: float) -> Axes:
    """Bare axes at a place in inches: no frame but a base line, no ticks, no margins."""
    total_wide, total_high = figure.get_size_inches()
    axes = figure.add_axes(
        (left / total_wide, bottom / total_high, wide / total_wide, high / total_high),
        facecolor="none",
        xscale="linear",
        yscale="linear",
    )
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", edgecolor=SHADE, linewidth=0.8, antialiased=True)
    axes.grid(False, which="both")
    axes.minorticks_off()
    axes.set_axisbelow(True)
    axes.tick_params(
        which="both", left=False, right=False, top=False, bottom=False, labeltop=False,
        labelright=False, labelleft=True, labelbottom=True, pad=4, labelrotation=0,
        direction="out",
    )  # fmt: skip
    axes.set(xticks=[], yticks=[], xmargin=0, ymargin=0)
    return axes


def ticks(
    axes: Axes, side: str, at: Sequence[float], labels: Sequence[str], *, grid: bool = False
) -> None:
    """Labels an axis.

    Args:
        axes: Of `panel`.
        side: "x" or "y".
        at: Places in data coordinates.
        labels: Words at these places.
        grid: Whether a thin line goes through each place.
    """
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_ticks(
        list(at),
        labels=list(labels),
        fontproperties=_font(SMALL),
        color=SOFT,
        horizontalalignment="center" if side == "x" else "right",
        verticalalignment="top" if side == "x" else "center_baseline",
        antialiased=True,
        parse_math=False,
        usetex=False,
    )
    if grid:
        axis.grid(True, color=GRID, linewidth=0.8, linestyle="-", alpha=1, antialiased=True)


def steps(low: float, high: float, most: int) -> list[float]:
    """Round numbers within a range, at most so many intervals."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    return [float(value) for value in found if low - slack <= value <= high + slack]


def save(figure: Figure, path: Path) -> None:
    """Writes a sheet as a PNG of few colours, without a date or a version in it."""
    import numpy as np
    from PIL import Image

    canvas: Any = figure.canvas  # The one of `sheet`, which has pixels.
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # A third of the bytes, and no difference to the eye.
    few = image.quantize(colors=128, dither=Image.Dither.NONE)
    few.save(path, format="PNG", optimize=True)


def _font(size: float, bold: bool = False) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(
        family="DejaVu Sans", style="normal", variant="normal", stretch="normal",
        weight="bold" if bold else "normal", size=size, fname=font_file(bold=bold),
    )  # fmt: skip
