"""Rows as an iterator: those in the journals at once, the missing ones while they are generated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice

from magpie_hub.generate.scheduler import Watcher
from magpie_hub.pipeline.background import Background
from magpie_hub.pipeline.run import FIRST, Job, Say
from magpie_hub.release.rows import BATCH, Rows, delivered, delivered_rows
from magpie_hub.release.schema import Row
from magpie_hub.store.rows import Outcome

log = logging.getLogger("magpie_hub")

POLL = 0.2
"""Seconds between looks into the journals while rows are generated."""


Watching = Callable[[], AbstractContextManager[tuple[Say, Watcher]]]
"""Opens what shows a run: where its lines go, and who is told how far it is."""


@contextmanager
def _unseen() -> Iterator[tuple[Say, Watcher]]:
    yield log.warning, lambda progress: None


def stream_rows(job: Job, watching: Watching = _unseen) -> Iterator[Row]:
    """Yields exactly the recipe's rows, in the order of their ids.

    A row is yielded as soon as it and all lower row ids are finished. Where rows are judged, or the
    longest of more rows are kept, none can be known before all are there.

    Args:
        job: Whose rows; what its journals lack is generated.
        watching: Shows the run while no row can be known.

    Raises:
        MagpieError: The run had to stop; see `Job.run`.
    """
    if job.delivery() is not None:
        yield from delivered_rows(job)
        return
    if not job.streams:
        with watching() as (say, watch), Background(job, say) as run:
            run.follow(watch)
        yield from delivered_rows(job)
        return
    with Background(job, say=log.warning) as run:
        reader = _Reader(job)
        for _ in run.updates(timeout=POLL):
            yield from reader.settled()
        yield from reader.settled()


class _Reader:
    """Reads a job's rows in the order of their ids, each once, as far as they are settled."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._next = 0
        self._left = job.recipe.rows

    def settled(self) -> Iterator[Row]:
        """Yields the rows that have passed since the last call, up to the first unfinished one."""
        if not (self._job.folder / FIRST).exists():
            return
        with self._job.book() as book:
            rows = Rows(self._job, book)
            outcomes = self._take(book.outcomes(self._next))
            while batch := list(islice(outcomes, BATCH)):
                row_ids = range(batch[0].row_id, batch[-1].row_id + 1)
                table = rows.table(row_ids, [outcome.reason for outcome in batch])
                yield from delivered(table).to_pylist()

    def _take(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Takes finished rows until enough have passed."""
        for outcome in outcomes:
            if not outcome.finished or not self._left:
                return
            self._next = outcome.row_id + 1
            self._left -= outcome.passed
            yield outcome
