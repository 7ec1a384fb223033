"""Finished turns that wait for their commit: many of them are committed in one transaction."""

from __future__ import annotations

from magpie_hub.store.journal import TurnRecord
from magpie_hub.store.labels import Label, Labels
from magpie_hub.store.rows import QualityThreshold, RowStore

_Waiting = tuple[list[TurnRecord], list[TurnRecord]]


class PendingTurns:
    """The journaled turns of a recipe's rows, with those that wait for the next commit.

    Args:
        row_store: The rows, open for writing.
        labels: The store of labels that are found before a response; None if there are none.
    """

    def __init__(self, row_store: RowStore, labels: Labels | None = None) -> None:
        self._row_store = row_store
        # Rows above it are new and need no look-up in the journals.
        self._last = row_store.last
        self._labels = labels
        # New and answered turns that wait, of each journal: first turns, later turns.
        self._waiting: tuple[_Waiting, _Waiting] = (([], []), ([], []))
        self._labelled: list[Label] = []
        # The lowest waiting row of each first instruction.
        self._digests: dict[bytes, int] = {}

    def __len__(self) -> int:
        return sum(len(turns) for waiting in self._waiting for turns in waiting)

    @property
    def turns(self) -> int:
        """Turns of a whole conversation."""
        return self._row_store.turns

    @property
    def threshold(self) -> QualityThreshold | None:
        """What a first instruction must reach before its response is generated."""
        return self._row_store.threshold

    def get(self, row_id: int, turn: int) -> TurnRecord | None:
        """A journaled turn; None for one that is not finished."""
        return self._row_store.get(row_id, turn) if row_id <= self._last else None

    def is_deferred(self, reason: str | None) -> bool:
        """Whether something of a journaled turn is still to be generated or decided."""
        return self._row_store.is_deferred(reason)

    def label(self, row_id: int) -> Label | None:
        """The label of a row's first instruction, if it has one."""
        return self._labels.get(row_id) if self._labels is not None else None

    def repeats(self, row_id: int, digest: bytes) -> bool:
        """Whether a lower row, or a published one, has the same first instruction."""
        waiting = self._digests.get(digest)
        if waiting is not None and waiting < row_id:
            return True
        return self._row_store.repeats(row_id, digest)

    def put(
        self, record: TurnRecord, *, answered: bool = False, label: Label | None = None
    ) -> None:
        """Takes a finished turn; `commit` writes it.

        Args:
            record: The turn.
            answered: Whether the journal has it without its response or its verdict.
            label: The label of its instruction, found before the response.
        """
        self._waiting[record.turn > 1][answered].append(record)
        if label is not None:
            self._labelled.append(label)
        if record.digest is not None:
            lowest = self._digests.get(record.digest, record.row_id)
            self._digests[record.digest] = min(lowest, record.row_id)

    def commit(self) -> None:
        """Writes what waits: labels, then turns, one transaction for each journal.

        Raises:
            JournalError: A journal cannot be written; what it has not taken stays waiting.
        """
        if self._labels is not None and self._labelled:
            self._labels.put(self._labelled)
            self._labelled = []
        for journal, (new, answered) in zip(self._row_store.journals, self._waiting, strict=False):
            if new or answered:
                journal.put_many(new, answered)
                new.clear()
                answered.clear()
        self._digests.clear()
