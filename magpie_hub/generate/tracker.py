"""The prefix tracker: which rows pass, how far all rows are finished, which row comes next."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from magpie_hub.store.rows import RowStatus, RowStore

FEW = 50
"""Settled rows that say as much about the yield as what else is known."""


class PrefixTracker:
    """Which rows pass, how far the prefix is finished, and which row comes next.

    Memory grows with the rows in flight, not with the rows in the journals.

    Args:
        row_store: The rows; read from the first one to the first unfinished one.
        wanted: Rows that must pass. Reading stops as soon as that many do.
    """

    def __init__(self, row_store: RowStore, wanted: int) -> None:
        self._book = row_store
        self.wanted = wanted
        self.settled = row_store.start
        self.passed = 0
        self.reasons: Counter[str] = Counter()
        self._next = row_store.start
        self._last = row_store.last
        self._in_flight: set[int] = set()
        # Whether finished rows above the lowest unfinished one passed, as far as is known.
        self._above: dict[int, bool] = {}
        self._passed_above = 0
        for status in row_store.statuses():
            if self.done or not status.finished:
                break
            self._settle(status.passed, status.reason)
        self._next = self.settled

    @property
    def done(self) -> bool:
        """Whether enough rows pass among those that are settled."""
        return self.passed >= self.wanted

    @property
    def passing(self) -> int:
        """Rows that pass, the unsettled ones as far as can be told."""
        return self.passed + self._passed_above

    @property
    def kept(self) -> int:
        """Rows that pass among all journaled ones; what an interrupted run showed last."""
        above = self._book.statuses(self.settled, max(self.settled, self._last + 1))
        return self.passed + sum(status.finished and status.passed for status in above)

    @property
    def in_flight(self) -> int:
        """Rows given out and not finished."""
        return len(self._in_flight)

    @property
    def started(self) -> int:
        """Rows given out so far, in this run and before."""
        return self._next - self._book.start

    def sure_to_pass(self, share: float) -> float:
        """Rows that will pass if no more are started: expected, less one standard deviation.

        One row too few costs a whole row's time with nearly every slot idle; one too many costs a
        slot that would have been idle, and is kept for a larger build.

        Rows that pass take longest, so of those in flight more pass than of those that finished
        last. What is known of all unsettled rows together, less what is known of the finished ones
        among them, is free of that; the settled rows say it, and while they are few, the middle
        between what the finished rows say and the hope that all in flight pass.

        Args:
            share: Of the rows that finished last, how many passed.
        """
        settled = self.settled - self._book.start
        hope = (1 + self.passing + self.in_flight) / (1 + self.started)
        share = (FEW * (share + hope) / 2 + self.passed) / (FEW + settled)
        expected = (self.started - settled) * share - self._passed_above
        expected = min(max(expected, 0.0), self.in_flight)
        failing = 1 - expected / max(1, self.in_flight)
        return self.passing + expected - math.sqrt(expected * failing)

    def take(self) -> int | None:
        """Gives out the next unfinished row; None if the finished ones turn out to be enough."""
        while not self.done:
            row_id = self._next
            self._next += 1
            status = self._known(row_id)
            if status is None or not status.finished:
                self._in_flight.add(row_id)
                return row_id
            self._put_above(row_id, status.passed)
            self._advance()
        return None

    def _known(self, row_id: int) -> RowStatus | None:
        """The status of a row that was journaled when the tracker was made; else None."""
        if row_id > self._last:
            return None
        return next(self._book.statuses(row_id, row_id + 1))

    def finish(self, rows: Iterable[tuple[int, bool]]) -> None:
        """Takes finished rows back: row ids, and whether the rows passed."""
        for row_id, passed in rows:
            self._in_flight.discard(row_id)
            self._put_above(row_id, passed)
        self._advance()

    def _put_above(self, row_id: int, passed: bool) -> None:
        self._above[row_id] = passed
        self._passed_above += passed

    def _advance(self) -> None:
        # A row that took long often settles many above it: one query for all of them.
        end = self.settled
        while end in self._above:
            end += 1
        if end == self.settled:
            return
        for status in self._book.statuses(self.settled, end):
            if self.done:
                break
            self._passed_above -= self._above.pop(self.settled)
            self._settle(status.passed, status.reason)

    def _settle(self, passed: bool, reason: str | None) -> None:
        self.settled += 1
        self.passed += passed
        if reason is not None:
            self.reasons[reason] += 1
