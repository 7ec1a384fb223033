"""What the user sees while `load_dataset` generates: the command's progress line, on stderr.

It is not shown if the progress bars of `datasets` are switched off.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import datasets

from magpie_hub.api import to_log
from magpie_hub.generate.scheduler import Progress
from magpie_hub.pipeline.loop import complete
from magpie_hub.pipeline.progress import LiveLine
from magpie_hub.pipeline.run import Run
from magpie_hub.selection.deliver import Delivery


@contextmanager
def watching() -> Iterator[tuple[Callable[[str], None], Callable[[Progress], None]]]:
    """Where a run's lines and its progress go."""
    if datasets.are_progress_bars_disabled() or sys.stderr is None:
        yield to_log, lambda progress: None
        return
    line = LiveLine(sys.stderr)
    try:
        yield line.say, line
    finally:
        line.close()


def complete_in_sight(run: Run) -> Delivery:
    """Generates and judges what a run lacks, and shows it.

    Raises:
        MagpieError: See `magpie_hub.pipeline.loop.complete`.
    """
    if (delivery := run.delivery()) is not None:
        return delivery
    with watching() as (say, watch):
        there = run.progress().passed
        say(f"{run.recipe.name}: {there:,} of {run.wanted:,} rows are there; generating the others")
        return complete(run, say=say, watch=watch)
