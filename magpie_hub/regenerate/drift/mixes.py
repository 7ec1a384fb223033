"""Mixes: rows by category, difficulty, quality, language and finish reason.

Sampling points are left out: their mix is by construction.

Test: chi-square, `significance.mixed`. Size: the total variation distance, which is the
share of rows that would need another label for the two mixes to be one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import fsum
from typing import Any

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.check import MIX, Check
from magpie_hub.regenerate.drift.significance import mixed
from magpie_hub.release.card.tables import UNLABELLED

NONE = "\0"
"""The cell of rows without a label. That is a verdict too: of text that is in no language."""

_MIXED = re.compile(r"task_category|difficulty|input_quality|language|finish_reason(_\d+)?")


def label_names(published: Mapping[str, Any], increment: Mapping[str, Any]) -> list[str]:
    """Labels whose mixes both sets have, sorted."""
    both = published.get("labels", {}).keys() & increment.get("labels", {}).keys()
    return sorted(name for name in both if _MIXED.fullmatch(name))


def mixes(
    published: Mapping[str, Any], increment: Mapping[str, Any], bounds: Drift
) -> Iterator[Check]:
    """Compares all mixes that both sets have."""
    if bounds.mix is None:
        return
    for name in label_names(published, increment):
        old, new = (_cells(stats["labels"][name]) for stats in (published, increment))
        if not sum(old.values()) or not sum(new.values()):
            continue
        shares = {cell: (_share(new, cell), _share(old, cell)) for cell in sorted({*old, *new})}
        size = min(1.0, fsum(abs(one - other) for one, other in shares.values()) / 2)
        # The first of equals in the order of the labels, whatever the order of the keys.
        most = max(shares, key=lambda cell: abs(shares[cell][0] - shares[cell][1]))
        p = mixed(*([counts.get(cell, 0) for cell in shares] for counts in (new, old)))
        label = most if most != NONE else UNLABELLED
        what = f"mix of {name}, above all {label}"
        yield Check(
            f"mix.{name}", what, MIX, "apart", shares[most][1], shares[most][0], size, bounds.mix, p
        )


def _cells(labels: Mapping[str, Any]) -> dict[str, int]:
    return {**labels["counts"], NONE: labels["missing"]}


def _share(cells: Mapping[str, int], cell: str) -> float:
    return cells.get(cell, 0) / sum(cells.values())
