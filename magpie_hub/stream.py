"""Rows as an iterator: those in the journals at once, the missing ones while they are generated."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from magpie_hub.background import Background
from magpie_hub.job import FIRST, Job
from magpie_hub.plan import Plan
from magpie_hub.release.folder import delivered_rows
from magpie_hub.schema import Row, to_row

log = logging.getLogger("magpie_hub")

POLL = 0.2
"""Seconds between looks into the journals while rows are generated."""


def stream_rows(job: Job) -> Iterator[Row]:
    """Yields exactly the recipe's rows, in the order of their ids.

    A row is yielded as soon as it and all lower row ids are finished. Where rows are judged, or the
    longest of more rows are kept, none can be known before all are there.

    Args:
        job: Whose rows; what its journals lack is generated.

    Raises:
        MagpieError: The run had to stop; see `Job.run`.
    """
    if job.delivery() is not None:
        yield from delivered_rows(job)
        return
    with Background(job, say=log.warning) as run:
        if not job.streams:
            for _ in run.updates():
                pass
            yield from delivered_rows(job)
            return
        reader = _Reader(job)
        for _ in run.updates(timeout=POLL):
            yield from reader.settled()
        yield from reader.settled()


class _Reader:
    """Reads a job's rows in the order of their ids, each once, as far as they are settled."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._plan = Plan(job.recipe)
        self._next = 0
        self._left = job.recipe.rows

    def settled(self) -> Iterator[Row]:
        """Yields the rows that have passed since the last call, up to the first unfinished one."""
        if not (self._job.folder / FIRST).exists():
            return
        with self._job.book() as book:
            chat = book.first.meta("chat")
            for outcome in book.outcomes(self._next):
                if not outcome.finished or not self._left:
                    return
                self._next = outcome.row_id + 1
                if outcome.passed:
                    self._left -= 1
                    yield to_row(
                        self._plan.row(outcome.row_id),
                        book.conversation(outcome.row_id),
                        self._job.recipe,
                        self._job.source.name,
                        chat["pre_query"]["text"],
                    )
