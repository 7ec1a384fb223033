"""A cached `load_dataset` of a variant beside the stock one of the same rows in Parquet.

    .venv/bin/python benchmarks/load.py [--rows 20000] [--repeats 9]

Journals are filled in bulk, so no model runs. The first call of each is cold: it reads the rows and
fills the cache of `datasets`. Then calls that find everything cached take turns, each in a process
of its own, timed from its start to its end, all imports included. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

ROOT = Path(__file__).resolve().parents[1]
README = """---
configs:
- config_name: bench
  data_files:
  - split: train
    path: ["magpie://recipes/*", bench.magpie.yaml]
---
"""
SCRIPT = "from datasets import load_dataset\nassert len(load_dataset({how})['train']) == {rows}\n"
WAYS = {
    "ours": "'./builder', 'bench'",
    "stock": "'parquet', data_files='./release/data/default/*.parquet'",
    "import": None,
}
"""Arguments of `load_dataset`; the third way imports `datasets` and no more."""
TARGET = 1.2


def prepare(scratch: Path, rows: int) -> None:
    """Writes a builder folder, journals that hold its rows, and a release of the same rows."""
    from benchmarks.release import fill
    from magpie_hub.pipeline.run import Run, open_recipe
    from magpie_hub.release.folder import write_release
    from tests.tiny import write_tiny_model

    builder = scratch / "builder"
    builder.mkdir()
    model = write_tiny_model(scratch / "model")
    (builder / "README.md").write_text(README)
    recipe = builder / "bench.magpie.yaml"
    recipe.write_text(
        f"name: bench\ndescription: A benchmark.\nmodel: {model}\nrows: {rows}\n"
        "judges: {tags: {}, language: true}\nselection: {min_quality: average}\n"
    )
    job = Run.open(open_recipe(recipe, environment={}), scratch / "home")
    fill(job)
    write_release(job, scratch / "release")


def run(way: str, scratch: Path, rows: int) -> tuple[float, float]:
    """Seconds and CPU seconds of a process that loads."""
    how = WAYS[way]
    script = "import datasets\n" if how is None else SCRIPT.format(how=how, rows=rows)
    environment = {
        **os.environ,
        "HF_HOME": str(scratch / "hf"),
        "HF_HUB_OFFLINE": "1",
        "MAGPIE_HOME": str(scratch / "home"),
        "PYTHONPATH": str(ROOT),
    }
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", script],
        cwd=scratch,
        env=environment,
        stdout=sys.stderr,
        check=True,
    )
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(scratch: Path, rows: int, repeats: int) -> dict[str, Any]:
    """Cold calls, then cached ones in turn; medians, and the medians of the pairs' ratios."""
    subprocess.run([sys.executable, __file__, "prepare", str(scratch), str(rows)], check=True)
    found: dict[str, Any] = {"rows": rows, "repeats": repeats, "target": TARGET}
    for way in ("ours", "stock"):
        found[f"{way}_cold_seconds"] = round(run(way, scratch, rows)[0], 2)
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            took[way].append(run(way, scratch, rows))
    for place, kind in enumerate(("seconds", "cpu_seconds")):
        for way in WAYS:
            found[f"{way}_{kind}"] = round(statistics.median(one[place] for one in took[way]), 3)
        ratios = [a[place] / b[place] for a, b in zip(took["ours"], took["stock"], strict=True)]
        found[f"ours_over_stock_{kind}"] = round(statistics.median(ratios), 3)
    return found


def main() -> None:
    """Measures and prints."""
    if len(sys.argv) > 1 and sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]), int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=9)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(Path(scratch), chosen.rows, chosen.repeats)))


def section(found: dict[str, Any]) -> str:
    """The part of the report."""
    met = "met" if found["ours_over_stock_seconds"] <= found["target"] else "not met"
    return f"""## Loading what is cached

`benchmarks/load.py`: {found["rows"]:,} rows by `load_dataset("./builders/…", NAME)`, and the same
rows by `load_dataset("parquet", data_files=…)`; whole processes in turn, {found["repeats"]} of
each, medians. Of both, `import datasets` alone is the larger part. Cold is one call, not a median:
ours reads journals and labels, the stock one Parquet.

| | ours | stock | `import datasets` |
|---|---|---|---|
| cached, seconds | {found["ours_seconds"]} | {found["stock_seconds"]} | {found["import_seconds"]} |
| cached, CPU seconds | {found["ours_cpu_seconds"]} | {found["stock_cpu_seconds"]} \
| {found["import_cpu_seconds"]} |
| cold, seconds | {found["ours_cold_seconds"]} | {found["stock_cold_seconds"]} | |

Ours over stock, cached: **{found["ours_over_stock_seconds"]}** (CPU time
{found["ours_over_stock_cpu_seconds"]}; medians of the pairs). Target, at most {found["target"]}:
**{met}**.
"""


if __name__ == "__main__":
    main()
