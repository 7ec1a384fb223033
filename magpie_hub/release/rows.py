"""A run's rows as tables: plan, words and labels joined, a batch of neighbouring rows at a time.

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
from magpie_hub.judges.join import NONE, JoinedLabels
from magpie_hub.pipeline.run import PRE_QUERIES, Run, pre_queries
from magpie_hub.release.columns import REASON
from magpie_hub.release.published_names import PublicNames
from magpie_hub.release.schema import Row, to_table
from magpie_hub.selection.deliver import Delivery
from magpie_hub.store.rows import RowStore

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1_000
"""Rows read and turned into columns at once."""


@contextmanager
def opened(run: Run, delivery: Delivery) -> Iterator[tuple[RowStore, JoinedLabels]]:
    """A finished run's journals, and the labels of its delivery's pool.

    Raises:
        JournalError: The labels are not there.
    """
    with run.row_store() as row_store:
        judge_runner = run.judge_runner(row_store)
        if judge_runner is None:
            raise JournalError(f"{run.folder}: labels of {run.recipe.name} are missing")
        with judge_runner.labels(delivery.pool) as labels:
            yield row_store, labels


class Rows:
    """Published rows of a run.

    Args:
        run: The run.
        row_store: Its open journals.
        labels: Its judges' labels.
    """

    def __init__(self, run: Run, row_store: RowStore, labels: JoinedLabels = NONE) -> None:
        self._run = run
        self._plan = Plan(run.recipe)
        self._row_store = row_store
        self._labels = labels
        self._public = PublicNames(run.recipe)

    def table(self, row_ids: range, reasons: Sequence[str | None]) -> pa.Table:
        """Neighbouring rows, with the columns of the config `raw`.

        Args:
            row_ids: The rows, all finished.
            reasons: Why each of them is not delivered; None if it is.
        """
        return to_table(
            list(map(self._plan.row, row_ids)),
            self._row_store.conversations(row_ids),
            list(map(self._public.label, self._labels.columns(row_ids))),
            self._run.recipe,
            self._public.generator,
            self._pre_queries,
            reasons,
            identity=self._run.source.identity,
        )

    def planned(self, delivery: Delivery) -> Iterator[pa.Table]:
        """Every planned row, with the reason of those that are not delivered."""
        end = self._row_store.start + delivery.funnel.planned
        for first in range(self._row_store.start, end, BATCH):
            row_ids = range(first, min(first + BATCH, end))
            yield self.table(row_ids, delivery.reasons(row_ids))

    @functools.cached_property
    def _pre_queries(self) -> dict[str | None, str]:
        return {
            name or None: text for name, text in given_first(self._run, self._row_store).items()
        }


def given_first(run: Run, row_store: RowStore) -> dict[str, str]:
    """See `pipeline.run.pre_queries`; an old journal's are derived again."""
    if said := row_store.first.meta(PRE_QUERIES):
        return dict(said)
    if not run.recipe.instruct.systems:
        return {"": row_store.first.meta("chat")["pre_query"]["text"]}
    return pre_queries(run.recipe, load_chat(run.recipe, run.source, run.home))


def delivered(table: pa.Table) -> pa.Table:
    """The rows of a table of the config `raw` that are delivered, as the config `default`."""
    import pyarrow.compute as pc

    return table.filter(pc.is_null(table[REASON])).drop_columns(REASON)


def delivered_rows(run: Run, delivery: Delivery) -> Iterator[Row]:
    """The dataset's rows, in the order of their ids."""
    with opened(run, delivery) as (row_store, labels):
        for table in Rows(run, row_store, labels).planned(delivery):
            yield from delivered(table).to_pylist()
