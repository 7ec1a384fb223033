"""Delivery: which rows of a book make up the dataset, and the funnel that they came through.

A pure function of the book: of the first rows × oversample rows that pass, in the order of their
ids, the `rows` with the longest responses are delivered (the paper's "longest k", applied last;
Appendix C of arXiv 2406.08464v2), again in the order of their ids.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import Any

from magpie_hub.book import Book
from magpie_hub.recipe.model import Recipe

SHORTER = "selection.shorter"
"""Reason of a row that passed and was not among the longest."""


def wanted_rows(recipe: Recipe) -> int:
    """Rows that must pass before the recipe's rows can be delivered."""
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


@dataclass(frozen=True, slots=True)
class Delivery:
    """The rows of the dataset, by row id in rising order, and their funnel."""

    row_ids: array[int]
    funnel: Funnel


def deliver(book: Book, recipe: Recipe) -> Delivery | None:
    """Chooses the rows of the dataset.

    Returns:
        The delivery, or None while too few rows pass.
    """
    wanted = wanted_rows(recipe)
    passed, chars = array("q"), array("q")
    reasons: Counter[str] = Counter()
    planned = 0
    for outcome in book.outcomes():
        if len(passed) == wanted:
            break
        if not outcome.finished:
            return None
        planned += 1
        if outcome.reason is not None:
            reasons[outcome.reason] += 1
        else:
            passed.append(outcome.row_id)
            chars.append(outcome.response_chars)
    if len(passed) < wanted:
        return None
    if len(passed) > recipe.rows:
        order = sorted(range(len(passed)), key=lambda i: (-chars[i], passed[i]))
        reasons[SHORTER] = len(passed) - recipe.rows
        passed = array("q", sorted(passed[i] for i in order[: recipe.rows]))
    return Delivery(passed, Funnel(planned, dict(reasons), len(passed)))
