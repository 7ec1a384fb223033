"""Rows as an iterator: those in the journals at once, the missing ones while they are generated."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from magpie_hub.background import Background
from magpie_hub.book import Book
from magpie_hub.delivery import deliver
from magpie_hub.errors import JournalError
from magpie_hub.job import FIRST, Job
from magpie_hub.plan import Plan
from magpie_hub.release.folder import delivered_rows
from magpie_hub.schema import Row, to_row

log = logging.getLogger("magpie_hub")

POLL = 0.2
"""Seconds between looks into the journals while rows are generated."""


def stream_rows(job: Job) -> Iterator[Row]:
    """Yields exactly the recipe's rows, in the order of their ids.

    A row is yielded as soon as it and all lower row ids are finished. Where the recipe keeps the
    longest of more rows, none can be known before all are there.

    Args:
        job: Whose rows; what its journals lack is generated.

    Raises:
        MagpieError: The run had to stop; see `Job.run`.
    """
    if job.progress().passed >= job.wanted:
        yield from _delivered(job)
        return
    with Background(job, say=log.warning) as run:
        if job.wanted > job.recipe.rows:
            for _ in run.updates():
                pass
            yield from _delivered(job)
            return
        cursor, left = 0, job.recipe.rows
        for _ in run.updates(timeout=POLL):
            if left and (job.folder / FIRST).exists():
                with job.book() as book:
                    for cursor, row in _settled(job, book, cursor):
                        if row is not None and left:
                            left -= 1
                            yield row
        with job.book() as book:
            for _, row in _settled(job, book, cursor):
                if row is not None and left:
                    left -= 1
                    yield row


def _settled(job: Job, book: Book, cursor: int) -> Iterator[tuple[int, Row | None]]:
    """Rows from `cursor` on, up to the first unfinished one, each with the cursor after it."""
    chat = book.first.meta("chat")
    plan = Plan(job.recipe)
    for outcome in book.outcomes(cursor):
        if not outcome.finished:
            return
        row = None
        if outcome.passed:
            turns = book.conversation(outcome.row_id)
            pre_query = chat["pre_query"]["text"]
            row = to_row(plan.row(outcome.row_id), turns, job.recipe, job.source.name, pre_query)
        yield outcome.row_id + 1, row


def _delivered(job: Job) -> Iterator[Row]:
    with job.book() as book:
        delivery = deliver(book, job.recipe)
        if delivery is None:
            raise JournalError(f"{job.folder}: rows of {job.recipe.name} are missing")
        yield from delivered_rows(job, book, delivery)
