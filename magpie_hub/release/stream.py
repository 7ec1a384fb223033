"""Rows as an iterator: those in the journals at once, the missing ones while they are generated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import islice

from magpie_hub.generate.scheduler import Watcher
from magpie_hub.pipeline.background import Background
from magpie_hub.pipeline.loop import Say, complete, generate
from magpie_hub.pipeline.run import Run
from magpie_hub.release.rows import BATCH, Rows, delivered, delivered_rows
from magpie_hub.release.schema import Row
from magpie_hub.selection.deliver import Delivery
from magpie_hub.store.rows import RowStatus

log = logging.getLogger("magpie_hub")

POLL = 0.2
"""Seconds between looks into the journals while rows are generated."""


Watching = Callable[[], AbstractContextManager[tuple[Say, Watcher]]]
"""Opens what shows a run: where its lines go, and who is told how far it is."""


@contextmanager
def _unseen() -> Iterator[tuple[Say, Watcher]]:
    yield log.warning, lambda progress: None


def stream_rows(
    run: Run, watching: Watching = _unseen, delivery: Delivery | None = None
) -> Iterator[Row]:
    """Yields exactly the recipe's rows, in the order of their ids.

    A row is yielded as soon as it and all lower row ids are finished. Where rows are judged, or the
    longest of more rows are kept, none can be known before all are there.

    Args:
        run: Whose rows; what its journals lack is generated.
        watching: Shows the run while no row can be known.
        delivery: The rows, if they are known already.

    Raises:
        MagpieError: The run had to stop; see `magpie_hub.pipeline.loop.complete`.
    """
    delivery = delivery or run.delivery()
    if delivery is None and not run.streams:
        with watching() as (say, watch):
            delivery = complete(run, say=say, watch=watch)
    if delivery is not None:
        yield from delivered_rows(run, delivery)
        return
    with Background(partial(generate, run, log.warning)) as background:
        reader = _Reader(run)
        for _ in background.updates(timeout=POLL):
            yield from reader.settled()
        yield from reader.settled()


class _Reader:
    """Reads a run's rows in the order of their ids, each once, as far as they are settled."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._next = 0
        self._left = run.recipe.rows

    def settled(self) -> Iterator[Row]:
        """Yields the rows that have passed since the last call, up to the first unfinished one."""
        if not self._run.begun:
            return
        with self._run.row_store() as row_store:
            rows = Rows(self._run, row_store)
            statuses = self._take(row_store.statuses(self._next))
            while batch := list(islice(statuses, BATCH)):
                row_ids = range(batch[0].row_id, batch[-1].row_id + 1)
                table = rows.table(row_ids, [status.reason for status in batch])
                yield from delivered(table).to_pylist()

    def _take(self, statuses: Iterator[RowStatus]) -> Iterator[RowStatus]:
        """Takes finished rows until enough have passed."""
        for status in statuses:
            if not status.finished or not self._left:
                return
            self._next = status.row_id + 1
            self._left -= status.passed
            yield status
