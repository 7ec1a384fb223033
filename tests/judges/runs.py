"""Runs of a recipe from its file to its release, and what is looked at afterwards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from magpie_hub.pipeline.loop import complete
from magpie_hub.pipeline.run import Run, open_recipe
from magpie_hub.release.folder import write_release
from magpie_hub.store.labels import Labels

EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"


def edit(recipe: Path, **fields: object) -> None:
    """Changes keys of a recipe's file."""
    data = yaml.safe_load(recipe.read_text())
    recipe.write_text(yaml.safe_dump({**data, **fields}, sort_keys=False))


def build(recipe: Path, out: Path, said: list[str] | None = None) -> dict[str, Any]:
    """Builds a release; its rows and funnel, and what was generated and labelled in all."""
    run = Run.open(open_recipe(recipe))
    complete(run, say=(said if said is not None else []).append)
    release = write_release(run, out)
    with run.row_store() as row_store:
        generated = sum(1 for _ in row_store.first.turn_index())
    labelled = Counter[str]()
    for path in run.folder.glob("labels/*.db"):
        with Labels(path, readonly=True) as labels:
            labelled[path.stem.split("-")[0]] += len(labels)
    return {
        "rows": pq.read_table(out / "data" / "default").to_pylist(),
        "raw": pq.read_table(out / "data" / "raw").to_pylist(),
        "funnel": release.funnel,
        "stats": release.stats,
        "generated": generated,
        "labelled": labelled,
    }
