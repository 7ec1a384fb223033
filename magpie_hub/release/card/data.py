"""What a card is made of, read back from a release folder.

A card is rendered from the folder alone: when it is built, and again when it is pushed to a
repository whose name was not known before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from magpie_hub.recipe.config import Recipe
from magpie_hub.release.dataset_info import dataset_info
from magpie_hub.release.manifest import read_manifest, read_recipe
from magpie_hub.release.shards import reading
from magpie_hub.release.stats_schema import read_stats

EXAMPLES = 2
"""Rows shown on a card."""

LANGUAGE_SHARE = 0.05
"""Least share of the rows by which a detected language is one of the dataset's."""


@dataclass(frozen=True, slots=True)
class CardData:
    """What a card is made of.

    Attributes:
        recipe: The recipe, with this run's settings.
        stats: As in ``stats.json``.
        manifest: As in ``manifest.json``; its `files` are not read.
        info: As `magpie_hub.release.dataset_info.dataset_info` returns it.
        tag: The tag that pins these rows.
        license: Licence of the generator, as its own card names it; None where unknown.
        examples: Published rows to show.
        pictures: File name inside ``assets/``, title and alternative text of each picture.
        repo_id: Where it is published; None while that is not known.
        siblings: Other datasets of its namespace: `name`, `repo_id`, `turns`,
            `generator`, `rows`.
        changelog: Releases, the newest first: `tag`, `date`, `text`.
    """

    recipe: Recipe
    stats: Mapping[str, Any]
    manifest: Mapping[str, Any]
    info: Sequence[Mapping[str, Any]]
    tag: str
    license: str | None = None
    examples: Sequence[Mapping[str, Any]] = ()
    pictures: Sequence[tuple[str, str, str]] = ()
    repo_id: str | None = None
    siblings: Sequence[Mapping[str, Any]] = ()
    changelog: Sequence[Mapping[str, Any]] = ()

    @property
    def languages(self) -> list[str]:
        """Codes of the languages: the recipe's, or those found in more than a few rows."""
        if self.recipe.card.language is not None:
            return list(self.recipe.card.language)
        found = self.stats["labels"].get("language", {}).get("counts", {})
        least = LANGUAGE_SHARE * sum(found.values())
        return [code.lower() for code, rows in found.items() if rows >= least]

    @property
    def variants(self) -> list[Mapping[str, Any]]:
        """This dataset and those beside it, by name; none if it stands alone."""
        if not self.siblings:
            return []
        this = {
            "name": self.recipe.name,
            "repo_id": None,
            "turns": self.stats["turns"],
            "generator": self.manifest["model"]["name"],
            "rows": self.stats["rows"],
        }
        return sorted([this, *self.siblings], key=lambda one: str(one["name"]))

    @property
    def year(self) -> str | None:
        """The year of the newest release, or of the last engine session."""
        days = [str(one["date"]) for one in self.changelog]
        days = days or [str(one.get("started", "")) for one in self.manifest["sessions"]]
        years = [day[:4] for day in days if re.match(r"\d{4}", day)]
        return max(years, default=None)

    @property
    def tokens(self) -> int:
        """Tokens of all turns; the means have six digits, so that this is about right."""
        turns = [
            one for name, one in self.stats["lengths"].items() if name.startswith("turn_tokens")
        ]
        return round(sum(float(one["mean"] or 0) * int(one["count"]) for one in turns))


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
        siblings: See `CardData`; none if the namespace was not read.
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
