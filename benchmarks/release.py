"""A release of a million rows: how long it takes, stage by stage, and in how much memory.

    .venv/bin/python benchmarks/release.py [--rows 1000000]

Journals are filled in bulk, which is not timed: instructions of about 50 tokens and responses of
200 to 400, cut from the sources of installed packages, one row in ten rejected by a gate, tags and
languages as two judges would leave them, one row in ten under the selection's bar. A fresh process
then writes the release of a tenth of the rows, and another that of all, from the same journals.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from magpie_hub.gates.registry import build_gates
from magpie_hub.judges.tags import CATEGORIES
from magpie_hub.models.source import ModelSource
from magpie_hub.pipeline.run import Run
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.recipe.selection import Difficulty, Quality
from magpie_hub.store.journal import FIRST
from magpie_hub.store.labels import Label, Labels
from magpie_hub.store.rows import digest

RECIPE = """
name: bench
description: A benchmark.
model: meta-llama/Meta-Llama-3-8B-Instruct
rows: {rows}
judges: {{tags: {{}}, language: true}}
selection: {{min_quality: average}}
"""
PRE_QUERY = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
SESSION = {"engine": "none", "version": "1", "device": "none", "dtype": "bfloat16", "slots": 256}
CORPUS = 48 * 10**6  # Characters of sources.
CHARS_A_TOKEN = 4
GATED = 0.1
QUALITIES = (2, 8, 25, 45, 20)  # Weights from "very poor" on; the first two are under the bar.
DIFFICULTIES = (5, 30, 50, 13, 2)
MADE_AHEAD = 1.03  # Rows that pass, over those that are wanted.
BATCH = 20_000
TARGET_SECONDS = 180  # For a million rows, on two cores.
STAGES = {
    "Parquet": ("_write_data",),
    "hashes": ("_hashes",),
    "statistics": ("describe",),
    "pictures": ("_coverage", "draw"),
    "card": ("card_data", "render_card"),
}
"""Functions of `magpie_hub.release.folder` by the stage that they are."""


def run(home: Path, rows: int) -> Run:
    """The job whose release it is."""
    recipe = parse_recipe(RECIPE.format(rows=rows), "bench")
    return Run(
        recipe, ModelSource(recipe.model, "r1", "hub", license="llama3"), home, build_gates()
    )


def corpus() -> str:
    """Sources of installed packages, one after the other."""
    text: list[str] = []
    size = 0
    for path in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py")):
        source = path.read_text(encoding="utf-8", errors="replace")
        # One in many is enough; neighbours are too much alike.
        if zlib.crc32(path.name.encode()) % 4 == 0:
            text.append(source)
            size += len(source)
        if size >= CORPUS:
            break
    return "".join(text)


def fill(one: Run) -> int:
    """Writes journals and labels from which a job's rows can be delivered; returns rows written."""
    share = (1 - GATED) * sum(QUALITIES[2:]) / sum(QUALITIES)
    planned = round(one.recipe.rows / share * MADE_AHEAD) + BATCH // 100
    with one.row_store(writable=True) as row_store:
        row_store.first.set_meta("chat", {"pre_query": {"ids": [1], "text": PRE_QUERY}})
        session = row_store.first.begin_session(SESSION)
        judge_runner = one.judge_runner(row_store)
        assert judge_runner is not None
        paths = judge_runner.paths
    draw, text = random.Random(0), corpus()
    with (
        closing(connect(one.folder / FIRST)) as db,
        Labels(paths["tags"]) as tags,
        Labels(paths["language"]) as languages,
    ):
        for begin in range(0, planned, BATCH):
            passed = []
            turns = []
            for values in _turns(range(begin, min(begin + BATCH, planned)), session, draw, text):
                turns.append(values)
                if values[3] is None:
                    passed.append(values[0])
            with db:
                db.executemany(f"INSERT INTO turns VALUES ({', '.join('?' * 14)})", turns)
            tags.put(_tags(passed, one.recipe.model, draw))
            languages.put([Label(row_id, {"language": "EN"}) for row_id in passed])
    return planned


def _turns(
    row_ids: range, session: int, draw: random.Random, text: str
) -> Iterator[tuple[Any, ...]]:
    """Values of the journal's columns."""
    ids = {size: _packed(size, draw) for size in range(40, 401)}
    for row_id in row_ids:
        asked, answered = draw.randint(40, 60), draw.randint(200, 400)
        begin = draw.randrange(len(text) - 500 * CHARS_A_TOKEN)
        middle = begin + asked * CHARS_A_TOKEN
        instruction = text[begin:middle]
        response = text[middle : middle + answered * CHARS_A_TOKEN]
        if draw.random() < GATED:
            nothing = (None, None, ids[asked], None, asked, None, 0)
            reason = "instruction.colon"
            yield row_id, 1, session, reason, None, instruction, None, "stop", *nothing[1:]
            continue
        yield (
            *(row_id, 1, session, None, digest(instruction), instruction, response),
            *("stop", "stop", ids[asked], ids[answered], asked, answered, len(response)),
        )


def _packed(size: int, draw: random.Random) -> bytes:
    return zlib.compress(array("I", draw.choices(range(128_000), k=size)).tobytes(), level=1)


def _tags(row_ids: list[int], model: str, draw: random.Random) -> list[Label]:
    qualities = draw.choices(get_args(Quality), QUALITIES, k=len(row_ids))
    difficulties = draw.choices(get_args(Difficulty), DIFFICULTIES, k=len(row_ids))
    categories = draw.choices(list(CATEGORIES), k=len(row_ids))
    by = dict.fromkeys(("task_category_generator", "difficulty_generator", "quality_generator"))
    return [
        Label(
            row_id,
            {
                **dict.fromkeys(by, model),
                "task_category": category,
                "other_task_category": [],
                "difficulty": difficulty,
                "intent": None,
                "knowledge": None,
                "input_quality": quality,
                "quality_explanation": None,
            },
        )
        for row_id, quality, difficulty, category in zip(
            row_ids, qualities, difficulties, categories, strict=True
        )
    ]


def measure(home: Path, rows: int, out: Path) -> dict[str, Any]:
    """Writes a release in this process: seconds by stage, and this process's peak memory."""
    from magpie_hub.release import folder

    wall: dict[str, float] = {}

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                wall[stage] = round(wall.get(stage, 0.0) + time.perf_counter() - begun, 2)

        return call

    Run.delivery = timed("choosing", Run.delivery)  # type: ignore[method-assign]
    for stage, names in STAGES.items():
        for name in names:
            setattr(folder, name, timed(stage, getattr(folder, name)))
    begun, cpu = time.perf_counter(), time.process_time()
    release = folder.write_release(run(home, rows), out)
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
    data = [out / name for name in release.files if name.endswith(".parquet")]
    return {
        "rows": release.rows,
        "planned": release.funnel.planned,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "stages": wall,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "shards": len(data),
        "parquet_mb": round(sum(path.stat().st_size for path in data) / 1e6, 1),
    }


def child(*arguments: object) -> Any:
    """What a process of its own prints."""
    command = [sys.executable, __file__, *map(str, arguments)]
    print(" ".join(command[2:]), file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Fills journals, writes both releases and prints."""
    if len(sys.argv) > 1 and sys.argv[1] in ("fill", "write"):
        home, rows = Path(sys.argv[2]), int(sys.argv[3])
        done = fill(run(home, rows)) if sys.argv[1] == "fill" else None
        print(json.dumps(done or measure(home, rows, Path(sys.argv[4]))))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as scratch:
        home, out = Path(scratch) / "home", Path(scratch) / "out"
        filled = child("fill", home, rows)
        tenth = child("write", home, rows // 10, out)
        shutil.rmtree(out)
        whole = child("write", home, rows, out)
        size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    found: dict[str, Any] = {
        "journaled": filled,
        "journal_mb": round(size / 1e6, 1),
        "tenth": tenth,
        "whole": whole,
        "target_seconds": round(TARGET_SECONDS * rows / 1e6, 1),
        "microseconds_a_row": round(whole["seconds"] / rows * 1e6, 1),
        "peak_over_peak_of_a_tenth": round(whole["peak_mb"] / tenth["peak_mb"], 3),
        "bytes_a_row_more": round(
            (whole["peak_mb"] - tenth["peak_mb"]) * 2**20 / (whole["rows"] - tenth["rows"]), 1
        ),
    }
    print(json.dumps(found))


def section(found: dict[str, Any]) -> str:
    """The part of the report."""
    tenth, whole = found["tenth"], found["whole"]
    stages = "\n".join(
        f"| {stage}, seconds | {tenth['stages'][stage]} | {seconds} |"
        for stage, seconds in whole["stages"].items()
    )
    met = "met" if whole["seconds"] < found["target_seconds"] else "not met"
    return f"""## Writing a release

`benchmarks/release.py`: journals of {found["journaled"]:,} rows ({found["journal_mb"]:,} MB), of
which a tenth and then all that are wanted are written as a release, each in a process of its own;
{whole["shards"]} shards, {whole["parquet_mb"]:,} MB. Both configs, statistics, pictures, card, and
the labels of two judges.

| | a tenth | all |
|---|---|---|
| rows delivered | {tenth["rows"]:,} | {whole["rows"]:,} |
| rows planned | {tenth["planned"]:,} | {whole["planned"]:,} |
{stages}
| all, seconds | {tenth["seconds"]} | {whole["seconds"]} |
| CPU seconds | {tenth["cpu_seconds"]} | {whole["cpu_seconds"]} |
| peak memory, MB | {tenth["peak_mb"]} | {whole["peak_mb"]} |

Target, under {found["target_seconds"]} s: **{met}**. Peak memory:
**{found["peak_over_peak_of_a_tenth"]}** times that of a tenth of the rows,
{found["bytes_a_row_more"]} bytes more for each row more.
"""


if __name__ == "__main__":
    main()
