"""A release of a million rows: how long it takes, stage by stage, and in how much memory.

    .venv/bin/python benchmarks/release.py [--rows 1000000]

Journals are filled in bulk, which is not timed: instructions of about 50 tokens and responses of
200 to 400, cut from the sources of installed packages, one row in ten rejected by a gate, tags and
languages as two judges would leave them, one row in ten under the selection's bar. A fresh process
then writes the release of a tenth of the rows, and another that of all, from the same journals.
Prints one JSON object.
"""

from __future__ import annotations

import random
import sys
import sysconfig
import zlib
from array import array
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from magpie_hub.book import digest
from magpie_hub.gates import build_gates
from magpie_hub.job import Job
from magpie_hub.journal import FIRST
from magpie_hub.judges.base import Label
from magpie_hub.judges.tags import CATEGORIES
from magpie_hub.labels import Labels
from magpie_hub.models import ModelSource
from magpie_hub.recipe import parse_recipe
from magpie_hub.recipe.selection import Difficulty, Quality

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
TARGET_SECONDS = 180


def job(home: Path, rows: int) -> Job:
    """The job whose release it is."""
    recipe = parse_recipe(RECIPE.format(rows=rows), "bench")
    return Job(recipe, ModelSource(recipe.model, "r1", "hub", "llama3"), home, build_gates())


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


def fill(home: Path, rows: int) -> int:
    """Writes journals and labels from which so many rows can be delivered; returns rows written."""
    one = job(home, rows)
    share = (1 - GATED) * sum(QUALITIES[2:]) / sum(QUALITIES)
    planned = round(rows / share * MADE_AHEAD)
    with one.book(writable=True) as book:
        book.first.set_meta("chat", {"pre_query": {"ids": [1], "text": PRE_QUERY}})
        session = book.first.begin_session(SESSION)
        judging = one.judging(book)
        assert judging is not None
        paths = judging.paths
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
