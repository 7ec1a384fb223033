"""Duplicates: planned rows that repeat an earlier row, of the increment or published before.

The more rows there are, the more of the next ones repeat one of them, and nothing is wrong with
those. Of P published and n new planned rows, P²/2 pairs could repeat each other before, and
Pn + n²/2 more can now: if pairs repeat each other as often as they did, the share of the new rows
that repeat a row grows by the factor 2 + n/P. Where a few favourites are drawn again and again it
grows less. So what is held against the new share is the published one times that factor.

Test: the exact test of two Poisson rates, one-sided. Size: the rise beyond what growth explains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.check import GROWING, Check
from magpie_hub.regenerate.drift.counts import flow
from magpie_hub.regenerate.drift.significance import more_often


def duplicates(
    published: Mapping[str, Any], increment: Mapping[str, Any], bounds: Drift
) -> Iterator[Check]:
    """Compares the shares of rows that repeat a row; only a rise counts."""
    old, new = flow(published), flow(increment)
    if bounds.duplicates is None or not old.planned or not new.planned:
        return
    growth = 2 + new.planned / old.planned
    explained = min(1.0, growth * old.repeats / old.planned)
    share = new.repeats / new.planned
    yield Check(
        "duplicates",
        f"planned rows that repeat an earlier one, {explained:.1%} by growth alone",
        GROWING,
        "rise",
        old.repeats / old.planned,
        share,
        share - explained,
        bounds.duplicates,
        more_often(new.repeats, old.repeats, growth * new.planned / old.planned),
    )
