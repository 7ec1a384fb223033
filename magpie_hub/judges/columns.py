"""A published column, described once: its type, its meaning, and where it is counted and shown.

A judge declares its columns in its own file; those of the plan and the journal are declared in
`magpie_hub.release.columns`, which lists all. Schema, field table, statistics, card and drift
checks read these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "texts", "integer", "number", "truth", "struct", "structs"]
"""Text, list of texts, int64, float64, bool, struct, list of structs."""

NEVER = "never"
IN_RAW = "in `raw`"
UNJUDGED = "if the judge failed"


@dataclass(frozen=True, slots=True)
class Column:
    """One published column.

    Attributes:
        name: As published; of the first turn where there is one for each.
        kind: Its type.
        meaning: A sentence or two of Markdown.
        null: When it is null.
        by: Who fills it in; "" for the judge that declares it.
        fields: The fields of a struct.
        each_turn: Whether later turns have such a column, their number behind the name.
        counted: The entry of `stats.json` that counts it; None if it is not counted.
        values: All values of a label, in their order; of a truth, the names of true and false.
        heading: The section of the card's label tables that shows its counts.
        in_examples: Whether the card shows it with an example row.
        drift: How new rows are compared with published ones: the shares of its values, or its
            mean.
        names_model: Whether it names a model, so that a folder's path is never published.
    """

    name: str
    kind: Kind
    meaning: str = ""
    null: str = UNJUDGED
    by: str = ""
    fields: tuple[Column, ...] = ()
    each_turn: bool = False
    counted: Literal["labels", "numbers", "lengths", "sampling", "repeats", "failures"] | None = (
        None
    )
    values: tuple[str, ...] = ()
    heading: str | None = None
    in_examples: bool = False
    drift: Literal["mix", "mean"] | None = None
    names_model: bool = False
