"""Delivery: which rows make up the dataset, and the funnel of those that do not.

A pure function of the journals and the labels. Rows are taken in the order of their ids; those that
pass the gates make up the pool, and the pool ends with the row by which rows × oversample of it
pass the selection's rules. Of these `rows` are delivered, the longest or the first as the
selection says, again in the order of their ids.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from magpie_hub.judges.join import NONE, JoinedLabels
from magpie_hub.recipe.config import Recipe
from magpie_hub.selection.select import Selected, Selector
from magpie_hub.store.rows import RowStore


def wanted_rows(recipe: Recipe) -> int:
    """Rows that must pass everything before the recipe's rows can be delivered."""
    return math.ceil(recipe.rows * recipe.oversample)


@dataclass(frozen=True, slots=True)
class Funnel:
    """Where the planned rows went. planned = delivered + all rejected.

    Attributes:
        planned: Rows up to the last one that was needed.
        rejected: Rows by reason.
        delivered: Rows of the dataset.
    """

    planned: int
    rejected: dict[str, int]
    delivered: int

    def to_json(self) -> dict[str, Any]:
        """Plain data, rejects in falling order."""
        order = sorted(self.rejected.items(), key=lambda item: (-item[1], item[0]))
        return {"planned": self.planned, "rejected": dict(order), "delivered": self.delivered}


@dataclass(slots=True)
class SelectionProgress:
    """The selection so far: up to the first row not finished or labelled, or the last one needed.

    Attributes:
        planned: Rows looked at.
        pool: Rows that passed the gates, in order.
        gated: Rows that the gates rejected, in order, by reason.
        passed: Rows of the pool that pass the selection's rules.
        missing: Rows that must still pass the selection's rules, at least.
        selected: What the selection makes of the pool.
    """

    planned: int
    pool: array[int]
    gated: dict[str, array[int]]
    passed: int
    missing: int
    selected: Selected

    def delivery(self) -> Delivery:
        """The dataset's rows, once none is missing."""
        kept = self.selected.kept
        funnel = Funnel(self.planned, dict(self.rejected), len(kept))
        return Delivery(kept, self.pool, self.why_not, funnel)

    @property
    def why_not(self) -> dict[str, array[int]]:
        """All rejected rows, in order, by reason."""
        return {**self.gated, **self.selected.rejected}

    @property
    def rejected(self) -> Counter[str]:
        """All rejected rows, counted by reason."""
        return Counter({reason: len(row_ids) for reason, row_ids in self.why_not.items()})


@dataclass(frozen=True, slots=True)
class Delivery:
    """The rows of the dataset, by row id in rising order, and what became of the others.

    Attributes:
        row_ids: Rows of the dataset.
        pool: Rows that passed the gates, the delivered ones among them.
        rejected: The other planned rows, rising, by the reason why they are not delivered.
        funnel: Every planned row, counted.
    """

    row_ids: array[int]
    pool: array[int]
    rejected: Mapping[str, array[int]]
    funnel: Funnel

    def reasons(self, row_ids: range) -> list[str | None]:
        """Why neighbouring planned rows are not delivered; None for one that is."""
        found: list[str | None] = [None] * len(row_ids)
        for reason, rejected in self.rejected.items():
            first = bisect_left(rejected, row_ids.start)
            for row_id in rejected[first : bisect_left(rejected, row_ids.stop, first)]:
                found[row_id - row_ids.start] = reason
        return found


def evaluate(row_store: RowStore, recipe: Recipe, labels: JoinedLabels = NONE) -> SelectionProgress:
    """Reads rows and labels until enough rows pass, or one is not finished or labelled."""
    selector = Selector(recipe.selection, recipe.rows, recipe.oversample)
    reader = labels.reader(row_store, texts=recipe.selection.drop_colon)
    pool, planned = array("q"), 0
    gated: dict[str, array[int]] = {}
    for status in row_store.statuses():
        if not selector.missing or not status.finished:
            break
        if status.reason is not None:
            gated.setdefault(status.reason, array("q")).append(status.row_id)
        else:
            labelled = reader.take(status)
            if labelled is None:
                break
            pool.append(status.row_id)
            selector.add(labelled)
        planned += 1
    return SelectionProgress(
        planned, pool, gated, selector.passed, selector.missing, selector.result()
    )


def deliver(row_store: RowStore, recipe: Recipe, labels: JoinedLabels = NONE) -> Delivery | None:
    """Chooses the rows of the dataset.

    Returns:
        The delivery, or None while too few rows are there and labelled.
    """
    found = evaluate(row_store, recipe, labels)
    return None if found.missing else found.delivery()
