"""The dataset card: rendered from `dataset_cards/` and the release's own numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2
import yaml

from magpie_hub.recipe.variants import shipped

if TYPE_CHECKING:
    from magpie_hub.job import Job


def render_card(job: Job, *, stats: dict[str, Any], manifest: dict[str, Any]) -> str:
    """Renders the card of a release.

    Args:
        job: The release's job.
        stats: What goes into ``stats.json``.
        manifest: What goes into ``manifest.json``, without the files' hashes.

    Returns:
        Markdown with YAML front matter by which ``load_dataset`` finds the data.
    """
    loader = jinja2.FileSystemLoader(shipped("dataset_cards"))
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    front_matter = yaml.safe_dump(
        _front_matter(job, stats["rows"]), sort_keys=False, allow_unicode=True
    )
    return environment.get_template("card.md.jinja").render(
        front_matter=front_matter,
        recipe=job.recipe,
        stats=stats,
        manifest=manifest,
    )


def _front_matter(job: Job, rows: int) -> dict[str, Any]:
    card = job.recipe.card
    licence = card.license or job.source.license
    return {
        "pretty_name": card.pretty_name or job.recipe.name,
        "license": licence or "other",
        "language": list(card.language),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(rows)],
        "tags": ["synthetic", "magpie", "alignment", "sft", *card.tags],
        "configs": [
            {
                "config_name": "default",
                "default": True,
                "data_files": [{"split": "train", "path": "data/default/train-*"}],
            },
            {
                "config_name": "raw",
                "data_files": [{"split": "train", "path": "data/raw/train-*"}],
            },
        ],
    }


def size_category(rows: int) -> str:
    """The Hub's size category of so many rows."""
    if rows < 1_000:
        return "n<1K"
    for low, high, name in (
        (1_000, 10_000, "1K<n<10K"),
        (10_000, 100_000, "10K<n<100K"),
        (100_000, 1_000_000, "100K<n<1M"),
        (1_000_000, 10_000_000, "1M<n<10M"),
        (10_000_000, 100_000_000, "10M<n<100M"),
    ):
        if low <= rows < high:
            return name
    return "100M<n<1B"
