"""Plots of a release: what `stats.json` counts, drawn for the dataset card.

A pure function of the statistics, the coverage points and the versions of the libraries: drawn
twice, a picture is the same to the byte. Nothing global is read or set (no pyplot, no rcParams),
so threads may draw at once. A picture whose numbers are missing, or all of whose rows lack them,
is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.release.plots.bars import category_bars, language_bars
from magpie_hub.release.plots.base import Drawing, Plot
from magpie_hub.release.plots.coverage_map import coverage_map
from magpie_hub.release.plots.funnel import funnel_bars
from magpie_hub.release.plots.lengths import length_histograms
from magpie_hub.release.plots.levels import level_columns
from magpie_hub.release.plots.scores import distance_histogram, reward_histograms
from magpie_hub.release.plots.style import save
from magpie_hub.release.plots.tsne import project

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PICTURES", "Picture", "draw", "project"]

Stats = Mapping[str, Any]

PLOTS: tuple[Callable[[Stats], Drawing | None], ...] = (
    funnel_bars,
    category_bars,
    level_columns,
    language_bars,
    length_histograms,
    distance_histogram,
    reward_histograms,
)
"""In the card's order; the coverage map, which needs points of its own, comes last."""


def draw(
    stats: Stats,
    folder: Path,
    *,
    coverage: Mapping[str, NDArray[np.floating[Any]]] | None = None,
) -> list[Plot]:
    """Draws what there is to draw.

    Args:
        stats: What goes into ``stats.json``.
        folder: Where the files go; made if missing.
        coverage: Points of shape (rows, 2) by name of the set, the release's own first, as
            `project` returns them.

    Returns:
        The pictures written, in the card's order.

    Raises:
        OSError: A file cannot be written.
    """
    drawings = [picture(stats) for picture in PLOTS]
    drawings.append(coverage_map(coverage or {}))
    written = []
    for picture, figure in filter(None, drawings):
        folder.mkdir(parents=True, exist_ok=True)
        save(figure, folder / picture.name)
        written.append(picture)
    return written
