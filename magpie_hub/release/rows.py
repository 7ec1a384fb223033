"""A job's rows as tables: plan, words and labels joined, a batch of neighbouring rows at a time.

A batch is one query of each journal and of each judge's labels, so a million rows cost a thousand
queries, and memory holds one batch.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from magpie_hub.errors import JournalError
from magpie_hub.generate.generator import load_chat
from magpie_hub.generate.plan import Plan
from magpie_hub.judges.join import NONE, Verdicts
from magpie_hub.pipeline.run import PRE_QUERIES, Job, pre_queries
from magpie_hub.release.published_names import PublicNames
from magpie_hub.release.schema import REASON, Row, to_table
from magpie_hub.selection.deliver import Delivery
from magpie_hub.store.rows import Book

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1_000
"""Rows read and turned into columns at once."""


@contextmanager
def opened(job: Job) -> Iterator[tuple[Book, Verdicts, Delivery]]:
    """A finished job's journals, its delivery, and the labels of the delivery's own pool.

    Raises:
        JournalError: Rows or labels are missing.
    """
    delivery = job.delivery()
    if delivery is None:
        raise JournalError(f"{job.folder}: rows of {job.recipe.name} are missing; build it first")
    with job.book() as book:
        judging = job.judging(book)
        assert judging is not None
        with judging.verdicts(delivery.pool) as verdicts:
            yield book, verdicts, delivery


class Rows:
    """Published rows of a job.

    Args:
        job: The job.
        book: Its open journals.
        verdicts: Its judges' labels.
    """

    def __init__(self, job: Job, book: Book, verdicts: Verdicts = NONE) -> None:
        self._job = job
        self._plan = Plan(job.recipe)
        self._book = book
        self._verdicts = verdicts
        self._public = PublicNames(job.recipe)

    def table(self, row_ids: range, reasons: Sequence[str | None]) -> pa.Table:
        """Neighbouring rows, with the columns of the config `raw`.

        Args:
            row_ids: The rows, all finished.
            reasons: Why each of them is not delivered; None if it is.
        """
        return to_table(
            list(map(self._plan.row, row_ids)),
            self._book.conversations(row_ids),
            list(map(self._public.label, self._verdicts.columns(row_ids))),
            self._job.recipe,
            self._public.generator,
            self._pre_queries,
            reasons,
            identity=self._job.source.identity,
        )

    def planned(self, delivery: Delivery) -> Iterator[pa.Table]:
        """Every planned row, with the reason of those that are not delivered."""
        end = self._book.start + delivery.funnel.planned
        for first in range(self._book.start, end, BATCH):
            row_ids = range(first, min(first + BATCH, end))
            yield self.table(row_ids, delivery.reasons(row_ids))

    @functools.cached_property
    def _pre_queries(self) -> dict[str | None, str]:
        return {name or None: text for name, text in given_first(self._job, self._book).items()}


def given_first(job: Job, book: Book) -> dict[str, str]:
    """See `pipeline.run.pre_queries`; an old journal's are derived again."""
    if said := book.first.meta(PRE_QUERIES):
        return dict(said)
    if not job.recipe.instruct.systems:
        return {"": book.first.meta("chat")["pre_query"]["text"]}
    return pre_queries(job.recipe, load_chat(job.recipe, job.source, job.home))


def delivered(table: pa.Table) -> pa.Table:
    """The rows of a table of the config `raw` that are delivered, as the config `default`."""
    import pyarrow.compute as pc

    return table.filter(pc.is_null(table[REASON])).drop_columns(REASON)


def delivered_rows(job: Job) -> Iterator[Row]:
    """The dataset's rows, in the order of their ids.

    Raises:
        JournalError: Rows or labels are missing.
    """
    with opened(job) as (book, verdicts, delivery):
        for table in Rows(job, book, verdicts).planned(delivery):
            yield from delivered(table).to_pylist()
