"""Rows: a recipe's journals read row by row, and the status of each row.

First turns and later turns have journals of their own, since they have fingerprints of their own:
a multi-turn recipe continues the rows of the single-turn one, and the other way round. Here they
are joined, and each row id gets its status by one pure rule:

* unfinished, while a turn is missing or open, or deferred for a reason that no longer holds;
* rejected, by the reason of its first rejected turn;
* a duplicate, if a lower row id has the same first instruction (also if that row is rejected);
* passed, otherwise.

The status of a row is final once all lower row ids are finished. So the delivered rows (the first
that pass) never depend on the order in which rows finish.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from magpie_hub.store.journal import OPEN, Journal, TurnIndex, TurnRecord, TurnText
from magpie_hub.store.usage import Usage, since, total, usage_of

DUPLICATE = "instruction.duplicate"
"""The reason of a row whose first instruction a lower row id, or a published row, has."""


DEFERRED = "instruction.quality"
"""The reason of a row whose first instruction is below the quality threshold: its response is
deferred. The label and the tagger's fingerprint follow: "instruction.quality:poor@0123…"."""


@dataclass(frozen=True, slots=True)
class QualityThreshold:
    """What a first instruction must reach before its response is generated.

    Attributes:
        enough: Labels that reach it.
        tagger: Fingerprint of the judge that gives the labels.
    """

    enough: frozenset[str]
    tagger: str

    def reason(self, label: str | None) -> str | None:
        """Why a row with this label is deferred, or None. No label is below every level."""
        return None if label in self.enough else f"{DEFERRED}:{label or 'unjudged'}@{self.tagger}"

    def stands(self, reason: str) -> bool:
        """Whether a row that was deferred for this reason would be deferred again."""
        label, _, tagger = reason.removeprefix(f"{DEFERRED}:").partition("@")
        return tagger == self.tagger and label not in self.enough


class RowStatus(NamedTuple):
    """The status of a row.

    Attributes:
        row_id: The row.
        finished: Whether nothing is left to generate for it.
        reason: Why it is rejected; None if it is unfinished or passed.
        response_chars: Characters of all its responses, for a passed row.
    """

    row_id: int
    finished: bool
    reason: str | None
    response_chars: int

    @property
    def passed(self) -> bool:
        """Whether it is finished and not rejected."""
        return self.finished and self.reason is None


class RowStore:
    """Rows of `turns` turns, in a journal of first turns and one of later turns.

    Args:
        first: Journal of first turns.
        later: Journal of later turns; needed when `turns` > 1.
        turns: Turns of a whole conversation.
        threshold: What first instructions must reach to get a response; None for no threshold.
        start: First row. Rows below it are published already and are not counted.
        taken: Digests of published first instructions, which no row may repeat.
    """

    def __init__(
        self,
        first: Journal,
        later: Journal | None,
        turns: int,
        threshold: QualityThreshold | None = None,
        *,
        start: int = 0,
        taken: Container[bytes] = (),
    ) -> None:
        if turns > 1 and later is None:
            raise ValueError("conversations of several turns need a journal of later turns")
        self.first = first
        self.later = later
        self.turns = turns
        self.threshold = threshold
        self.start = start
        self._taken = taken

    @property
    def journals(self) -> tuple[Journal, ...]:
        """The journals of first turns and, if there is one, of later turns."""
        return (self.first,) if self.later is None else (self.first, self.later)

    def get(self, row_id: int, turn: int) -> TurnRecord | None:
        """The record of a turn, if it is finished."""
        return self._journal(turn).get(row_id, turn)

    def is_deferred(self, reason: str | None) -> bool:
        """Whether a turn is open, or was deferred for a reason that no longer holds."""
        if reason == OPEN:
            return True
        if reason is None or not reason.startswith(DEFERRED):
            return False
        return self.threshold is None or not self.threshold.stands(reason)

    def _journal(self, turn: int) -> Journal:
        return self.first if turn == 1 or self.later is None else self.later

    def repeats(self, row_id: int, digest: bytes) -> bool:
        """Whether a lower row, or a published row, has the same first instruction."""
        if digest in self._taken:
            return True
        lowest = self.first.lowest_with(digest, self.start)
        return lowest is not None and lowest < row_id

    @property
    def last(self) -> int:
        """The highest row id that is journaled; one below the first row if none is."""
        return max(self.start - 1, self.first.last())

    def statuses(self, first: int | None = None, end: int | None = None) -> Iterator[RowStatus]:
        """Statuses of the rows first, first + 1, …, without a gap.

        Args:
            first: First row id; None for the first of all.
            end: Row id to stop before; None goes on to the highest row id that is journaled.
        """
        first = self.start if first is None else first
        later = RowCursor(
            self.later.turn_index(first) if self.later and self.turns > 1 else iter(())
        )
        expected = first
        for mark in self.first.turn_index(first, self.start):
            while expected < mark.row_id and (end is None or expected < end):
                yield RowStatus(expected, False, None, 0)
                expected += 1
            if end is not None and mark.row_id >= end:
                return
            yield self._status(mark, later.take(mark.row_id))
            expected = mark.row_id + 1
        while end is not None and expected < end:
            yield RowStatus(expected, False, None, 0)
            expected += 1

    def _status(self, mark: TurnIndex, later: list[TurnIndex]) -> RowStatus:
        row_id = mark.row_id
        # Before any other reason: then the order in which the two rows finished does not matter.
        if mark.digest is not None and (
            (mark.holder is not None and mark.holder < row_id) or mark.digest in self._taken
        ):
            return RowStatus(row_id, True, DUPLICATE, 0)
        if self.is_deferred(mark.reason):
            return RowStatus(row_id, False, None, 0)
        if mark.reason is not None:
            return RowStatus(row_id, True, _name(mark.reason), 0)
        chars = mark.response_chars
        by_turn = {found.turn: found for found in later}
        for turn in range(2, self.turns + 1):
            found = by_turn.get(turn)
            if found is None or self.is_deferred(found.reason):
                return RowStatus(row_id, False, None, 0)
            if found.reason is not None:
                return RowStatus(row_id, True, _name(found.reason), 0)
            chars += found.response_chars
        return RowStatus(row_id, True, None, chars)

    def begin(self) -> None:
        """Records the cost of the journals' rows before the first row of an increment.

        The cost after that is the cost of the increment's own rows.
        """
        if self.start and self.first.meta(self._before) is None:
            self.first.set_meta(self._before, [cost.to_json() for cost in self._spent()])

    def usage(self) -> list[Usage]:
        """The cost of the rows, without those below the first row."""
        before = self.first.meta(self._before) if self.start else None
        return since(self._spent(), [Usage(**cost) for cost in before or ()])

    @property
    def _before(self) -> str:
        return f"spent before row {self.start}"

    def _spent(self) -> list[Usage]:
        return total(cost for journal in self.journals for cost in usage_of(journal))

    def conversation(self, row_id: int) -> list[TurnRecord]:
        """The turns of a passed row, in order."""
        records = [self.get(row_id, turn) for turn in range(1, self.turns + 1)]
        return [record for record in records if record is not None]

    def conversations(self, row_ids: range) -> list[list[TurnText]]:
        """The finished turns of neighbouring rows, in order; none for a row without any.

        Args:
            row_ids: The rows, one after the other.
        """
        found: list[list[TurnText]] = [[] for _ in row_ids]
        for journal in self.journals if self.turns > 1 else (self.first,):
            for words in journal.texts(row_ids.start, row_ids.stop):
                # Other recipes may have continued these rows.
                if words.turn <= self.turns:
                    found[words.row_id - row_ids.start].append(words)
        return found


def passing(row_store: RowStore, most: int | None = None) -> array[int]:
    """Rows that passed the gates, in order, below the first unfinished one; `most` at most."""
    found = array("q")
    for status in row_store.statuses():
        if not status.finished or (most is not None and len(found) >= most):
            break
        if status.passed:
            found.append(status.row_id)
    return found


class _OfRow(Protocol):
    @property
    def row_id(self) -> int: ...


Item = TypeVar("Item", bound=_OfRow)


class RowCursor(Generic[Item]):
    """Items in the order of their rows, taken row by row."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._next = next(items, None)

    def take(self, row_id: int) -> list[Item]:
        """All items of a row; those of lower rows are skipped."""
        taken = []
        while self._next is not None and self._next.row_id <= row_id:
            if self._next.row_id == row_id:
                taken.append(self._next)
            self._next = next(self._items, None)
        return taken


def _name(reason: str) -> str:
    """A reason without the detail that a gate may add after a colon."""
    return reason.split(":", 1)[0]


def digest(instruction: str) -> bytes:
    """Hash of a first instruction, without case and spacing: equal hashes are duplicates."""
    words = " ".join(instruction.split()).casefold()
    return hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16).digest()
