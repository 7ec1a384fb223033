"""What a person sees while `load_dataset` generates: the live line of the command, on stderr.

Nothing of it where the bars of `datasets` are switched off.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import datasets

from magpie_hub.api import to_log
from magpie_hub.generate.scheduler import Progress
from magpie_hub.pipeline.background import Background
from magpie_hub.pipeline.progress import LiveLine
from magpie_hub.pipeline.run import Run


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


def complete(run: Run) -> None:
    """Generates and judges what a job lacks, in sight.

    Raises:
        MagpieError: See `Run.complete`.
    """
    if run.delivery() is not None:
        return
    with watching() as (say, watch), Background(run, say) as background:
        there = run.progress().passed
        say(f"{run.recipe.name}: {there:,} of {run.wanted:,} rows are there; making the others")
        background.follow(watch)
