"""Selecting from a million labelled rows: how long it takes, and in how much memory.

    .venv/bin/python benchmarks/selection.py [ROWS]

The rows come from a generator with made-up labels, as the labels of a journal would; each preset
in turn keeps three tenths of them, where so many pass. Prints one JSON object.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import PRESETS, Difficulty, Quality, Selection
from magpie_hub.selection.select import Selector

KEPT = 0.3
SAMPLE = 65_536


def labels() -> list[tuple[int, str, str, float, float]]:
    """Characters, quality, difficulty, reward and reward difference of a sample of rows."""
    draw = random.Random(0)
    qualities = draw.choices(get_args(Quality), (2, 8, 25, 45, 20), k=SAMPLE)
    difficulties = draw.choices(get_args(Difficulty), (5, 30, 50, 13, 2), k=SAMPLE)
    return [
        (draw.randrange(50, 8_000), quality, difficulty, draw.gauss(-6, 5), draw.gauss(3, 4))
        for quality, difficulty in zip(qualities, difficulties, strict=True)
    ]


def labelled(rows: int, sample: list[tuple[int, str, str, float, float]]) -> Iterator[LabeledRow]:
    """Rows with the sample's labels, over and over; every seventh repeats the one before it."""
    for row_id in range(rows):
        chars, quality, difficulty, reward, difference = sample[row_id % SAMPLE]
        yield LabeledRow(
            row_id=row_id,
            response_chars=chars,
            labels={
                "input_quality": quality,
                "difficulty": difficulty,
                "instruct_reward": reward,
                "reward_difference": difference,
                "safe": True,
                "language": "EN",
            },
            leader=row_id - 1 if row_id % 7 == 6 else None,
        )


def section(found: dict[str, Any]) -> str:
    """This benchmark's part of the report."""
    return f"""## Selecting

`benchmarks/selection.py`: {found["rows"]:,} labelled rows, the slowest of the presets:
**{found["seconds_most"]} s**, {found["peak_mb"]} MB at the peak.
"""


def main() -> None:
    """Selects with every preset; the seconds include making the rows, which are said apart."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    sample = labels()
    begun = time.perf_counter()
    for _ in labelled(rows, sample):
        pass
    making = time.perf_counter() - begun
    seconds, kept = {}, {}
    for preset in PRESETS:
        selection = Selection.model_validate({"preset": preset})
        begun = time.perf_counter()
        selector = Selector(selection, int(rows * KEPT))
        for row in labelled(rows, sample):
            selector.add(row)
        kept[preset] = len(selector.result().kept)
        seconds[preset] = round(time.perf_counter() - begun, 2)
    result = {
        "rows": rows,
        "seconds_to_make_the_rows": round(making, 2),
        "seconds_most": max(seconds.values()),
        "seconds": seconds,
        "kept": kept,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
