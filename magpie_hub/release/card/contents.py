"""What a release folder holds, read back for its card.

The card is rendered from the folder alone, when it is built and again when it is pushed to a
repository whose name was not known before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from magpie_hub.release.card.render import CardData
from magpie_hub.release.dataset_info import dataset_info
from magpie_hub.release.manifest import read_manifest, read_recipe
from magpie_hub.release.shards import reading
from magpie_hub.release.stats_schema import read_stats

EXAMPLES = 2
"""Rows shown on a card."""


def card_data(
    folder: Path,
    manifest: dict[str, Any] | None = None,
    *,
    repo_id: str | None = None,
    siblings: Sequence[Mapping[str, Any]] = (),
) -> CardData:
    """Reads what a card is made of.

    Args:
        folder: The release.
        manifest: Its manifest, if that is not written yet.
        repo_id: Where it is published; the recipe's by default.
        siblings: See `CardData`; none where nobody has looked what is published beside it.
    """
    if manifest is None:
        manifest = read_manifest(folder)
    stats = read_stats(folder, manifest)
    recipe = read_recipe(folder, manifest, stats)
    return CardData(
        recipe=recipe,
        stats=stats,
        manifest=manifest,
        info=dataset_info(folder, manifest["files"]),
        tag=manifest["tag"],
        license=manifest["model"]["license"],
        examples=_examples(folder),
        pictures=[(one["name"], one["title"], one["alt"]) for one in manifest["pictures"]],
        repo_id=repo_id or recipe.hub.repo_id,
        siblings=siblings,
        changelog=manifest["changelog"],
    )


def _examples(folder: Path) -> list[dict[str, Any]]:
    """The first rows of the dataset."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    for shard in sorted((folder / "data" / "default").glob("*.parquet")):
        with reading(shard), pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(EXAMPLES):
                rows += islice(map(_example, batch.to_pylist()), EXAMPLES - len(rows))
                if len(rows) == EXAMPLES:
                    return rows
    return rows


def _example(row: dict[str, Any]) -> dict[str, Any]:
    """A row that has what a card shows of each.

    Raises:
        ValueError: It lacks it.
    """
    said = [one[key] for one in row["messages"] or [None] for key in ("role", "content")]
    if None in (row["uuid"], row["row_id"], *said):
        raise ValueError("a row without a conversation")
    return row
