"""Judge `neighbors`: how near the nearest other instruction is.

Its columns depend on the whole pool of rows, so it labels no row by itself: instructions are
embedded (`magpie_hub.dedup.index`), and the columns are computed for a pool.
"""

from __future__ import annotations

from magpie_hub.judges.base import JudgeInfo
from magpie_hub.judges.columns import IN_RAW, Column


class NeighborsJudge(JudgeInfo):
    """Near-duplicates of a pool; `magpie_hub.dedup.index.NeighborIndex` does the work."""

    name = "neighbors"
    says = "how near the nearest other instruction is"
    off = "**Near-duplicates were not looked for.**"
    packages = ("sentence_transformers",)
    columns = (
        Column(
            "min_neighbor_distance",
            "number",
            "Squared L2 distance of the instruction's unit embedding to the nearest other row's; "
            "0 is the same, 2 is unrelated.",
            null="in a set of one row",
            counted="numbers",
            in_examples=True,
        ),
        Column(
            "repeat_count",
            "integer",
            "Rows nearer than the threshold.",
            null=IN_RAW,
            counted="repeats",
        ),
        Column(
            "min_similar_uuid",
            "text",
            "The first of the row's near-duplicates, itself included; or the row of a published "
            "set that it repeats.",
            null="if there is none",
        ),
    )
