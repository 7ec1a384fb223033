"""Draws the plots of a release: what `stats.json` counts, and the coverage map.

A pure function of its data and the versions of the libraries: drawn twice, a plot is the same to
the byte. Nothing global is read or set (no pyplot, no rcParams), so threads may draw at once. A
plot whose numbers are missing is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from magpie_hub.release.plots.bars import categories, funnel, languages, levels
from magpie_hub.release.plots.coverage import coverage
from magpie_hub.release.plots.histograms import distances, lengths, rewards
from magpie_hub.release.plots.style import Drawing, Plot, PlotData, save

PLOTS: tuple[Callable[[PlotData], Drawing | None], ...] = (
    funnel,
    categories,
    levels,
    languages,
    lengths,
    distances,
    rewards,
    coverage,
)
"""All plots, in the card's order."""


def draw_plots(data: PlotData, folder: Path) -> list[Plot]:
    """Writes the plots that there are numbers for.

    Args:
        data: What is drawn.
        folder: Where the files go; made if there is something to draw.

    Returns:
        The plots written, in the card's order.

    Raises:
        OSError: A file cannot be written.
    """
    written = []
    for plot, figure in filter(None, (draw_one(data) for draw_one in PLOTS)):
        folder.mkdir(parents=True, exist_ok=True)
        save(figure, folder / plot.name)
        written.append(plot)
    return written
