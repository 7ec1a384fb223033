"""Every number in stats.json, counted again in plain Python from the files."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.judges.registry import JUDGES
from magpie_hub.release.folder import write_release
from magpie_hub.release.schema import arrow_schema
from magpie_hub.release.stats import describe, distribution
from magpie_hub.store.usage import Usage
from tests.toy_release import toy_job


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled set written by hand: every judge, gaps and failures among its rows."""
    folder = tmp_path_factory.mktemp("set")
    rows = [labelled(row_id) for row_id in range(57)]
    raw = [row | {"reject_reason": None} for row in rows]
    raw += [
        {**labelled(100 + n), "response": None, "response_tokens": None, "reject_reason": reason}
        for n, reason in enumerate(["a", "b", "a"])
    ]
    names = tuple(JUDGES)
    for config, data in (("default", rows), ("raw", raw)):
        schema = arrow_schema(1, names, raw=config == "raw")
        (folder / "data" / config).mkdir(parents=True)
        half = len(data) // 2
        for n, part in enumerate((data[:half], data[half:])):
            table = pa.Table.from_pylist(part, schema)
            pq.write_table(table, folder / "data" / config / f"train-0000{n}-of-00002.parquet")
    return folder


def files(folder: Path) -> tuple[list[Path], list[Path]]:
    default, raw = (sorted((folder / "data" / name).iterdir()) for name in ("default", "raw"))
    return default, raw


def labelled(row_id: int) -> dict[str, Any]:
    failed = row_id % 7 == 0
    return {
        "uuid": str(row_id),
        "row_id": row_id,
        "gen_input_configs": {"temperature": 1.0 + row_id % 2 / 10, "top_p": 1.0},
        "response": "x",
        "instruction_tokens": row_id + 1,
        "response_tokens": row_id * row_id,
        "instruction_length": 3 * row_id,
        "response_length": 5,
        "finish_reason": "stop" if row_id % 5 else "length",
        "task_category": None if failed else ("Math" if row_id % 2 else "Planning"),
        "difficulty": None if failed else "easy",
        "input_quality": None if failed else "good",
        "safe": None if failed else row_id % 3 > 0,
        "safety_categories": ["S1", "S2"] if row_id % 3 == 0 and not failed else [],
        "instruct_reward": None if failed else row_id / 3 - 4,
        "min_neighbor_distance": math.sqrt(row_id),
        "repeat_count": row_id % 4 // 2,
        "language": "EN",
        "judge_failures": [{"judge": "tags", "reason": "cut_off: 1024"}] if failed else [],
    }


def column(folder: Path, name: str, config: str = "default") -> list[Any]:
    return list(pq.read_table(folder / "data" / config, columns=[name])[name].to_pylist())


def test_labels_are_the_files(folder: Path) -> None:
    labels = describe(*files(folder))["labels"]
    for name in ("task_category", "difficulty", "input_quality", "language", "finish_reason"):
        values = column(folder, name)
        assert labels[name]["counts"] == Counter(v for v in values if v is not None)
        assert labels[name]["missing"] == values.count(None)
    safe = column(folder, "safe")
    assert labels["safe"]["counts"] == {"safe": safe.count(True), "unsafe": safe.count(False)}
    assert labels["safe"]["missing"] == safe.count(None)
    categories = column(folder, "safety_categories")
    assert labels["safety_categories"]["counts"] == Counter(chain(*categories))


def test_numbers_are_the_files(folder: Path) -> None:
    stats = describe(*files(folder))
    found = {**stats["numbers"], **stats["lengths"]}
    assert set(stats["numbers"]) == {
        "min_neighbor_distance", "instruct_reward", "base_reward", "reward_difference",
    }  # fmt: skip
    for name in ("instruct_reward", "min_neighbor_distance", "instruction_tokens"):
        values = [value for value in column(folder, name) if value is not None]
        said = found[name]
        assert said["count"] == len(values)
        assert said["missing"] == 57 - len(values)
        assert said["mean"] == pytest.approx(statistics.fmean(values), rel=1e-5)
        assert said["std"] == pytest.approx(statistics.pstdev(values), rel=1e-5)
        assert (said["min"], said["max"]) == pytest.approx((min(values), max(values)), rel=1e-5)
        assert said["percentiles"]["50"] == pytest.approx(statistics.median(values), rel=1e-5)
    turn = [a + b for a, b in zip(*(column(folder, f"{s}_tokens") for s in SIDES), strict=True)]
    assert stats["lengths"]["turn_tokens"]["mean"] == pytest.approx(
        statistics.fmean(turn), rel=1e-5
    )
    assert found["base_reward"]["count"] == 0
    assert found["base_reward"]["mean"] is None


SIDES = ("instruction", "response")


def test_counts_are_the_files(folder: Path) -> None:
    stats = describe(*files(folder), [Usage("tags", "m", rows=3, seconds=1.5)])
    reasons = Counter(value for value in column(folder, "reject_reason", "raw") if value)
    assert stats["funnel"] == {"planned": 60, "rejected": dict(reasons), "delivered": 57}
    assert stats["yield"] == 0.95
    assert stats["repeats"] == {
        str(k): v for k, v in Counter(column(folder, "repeat_count")).items()
    }
    assert stats["failures"] == {"tags": {"cut_off": 9}}
    assert sum(point["rows"] for point in stats["sampling"]) == 57
    assert stats["sampling"][1]["temperature"] == 1.1
    tokens = [value for value in column(folder, "response_tokens", "raw") if value is not None]
    assert stats["saved"] == {
        "rows": 3,
        "mean_response_tokens": round(statistics.fmean(tokens), 2),
        "tokens": round(3 * statistics.fmean(tokens)),
    }
    assert stats["spent"][0]["seconds"] == 1.5
    assert json.loads(json.dumps(stats)) == stats


def test_a_release_counts_its_own_files(tmp_path: Path) -> None:
    release = write_release(toy_job(tmp_path / "home"), tmp_path / "out")
    stats = json.loads((release.path / "stats.json").read_text())
    assert stats == release.stats
    assert stats["turns"] == 2
    assert stats["lengths"]["response_tokens_2"]["count"] == 30
    assert stats["funnel"] == release.funnel.to_json()
    assert stats["funnel"]["planned"] == len(column(release.path, "row_id", "raw"))


@given(
    st.lists(st.integers(0, 10**6), min_size=1) | st.lists(st.floats(-1e6, 1e6), min_size=1),
    st.booleans(),
)
def test_a_histogram_holds_every_number_once(numbers: list[float], tail: bool) -> None:
    if isinstance(numbers[0], float):
        tail = False
    found = distribution(np.array(numbers), len(numbers) + 2, tail=tail)
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
    assert sum(counts) == found["count"] == len(numbers)
    assert found["missing"] == 2
    assert edges == sorted(set(edges))
    assert len(edges) == len(counts) + 1
    for n, count in enumerate(counts):
        last = n == len(counts) - 1
        inside = [v for v in numbers if edges[n] <= v < edges[n + 1] or (last and v == edges[-1])]
        assert count == len(inside)
