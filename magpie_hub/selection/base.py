"""The rule contract: look at one labelled row, return None or a reason.

A rule sees one row at a time, so that its verdict depends on no other row and on no order. A row
that lacks a label the rule needs is rejected as unjudged: a judge's failure never passes a row.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, Self

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection


class Rule(Protocol):
    """A condition with a name.

    Attributes:
        name: The reason of a row that does not meet it.
        judges: Names of the judges whose labels it reads; none if it needs no judge.
    """

    name: ClassVar[str]
    judges: ClassVar[tuple[str, ...]]

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """The rule as a recipe sets it, or None where it is off."""
        ...

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None to pass, or the reason: the rule's name, or `unjudged.judge`."""
        ...
