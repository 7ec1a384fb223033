"""Coverage: all sets in one map, the same map twice, and none where there is too little."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from magpie_hub.dedup.index import sample_rows
from magpie_hub.release import folder
from magpie_hub.release.folder import MAPPED
from magpie_hub.release.plots.tsne import project

DIM = 16


def vectors(rows: int, seed: int = 0, at: float = 0.0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(rows, DIM)) + at).astype(np.float32)


def test_every_set_has_a_point_for_each_of_its_rows() -> None:
    found = project({"ours": vectors(40), "theirs": vectors(25, 1), "none": vectors(0)})
    assert {name: points.shape for name, points in found.items()} == {
        "ours": (40, 2),
        "theirs": (25, 2),
    }
    assert list(found) == ["ours", "theirs"]
    assert all(np.isfinite(points).all() for points in found.values())


def test_a_large_set_is_sampled_and_a_small_one_is_not() -> None:
    found = project({"ours": vectors(500), "theirs": vectors(20, 1)}, most=30)
    assert {name: len(points) for name, points in found.items()} == {"ours": 30, "theirs": 20}


def test_a_sample_keeps_the_order_of_the_rows() -> None:
    """Rows on a line keep their order in the map if they keep it in the sample."""
    line = np.linspace(0, 1, 3000, dtype=np.float32)[:, None] * np.ones((1, DIM), np.float32)
    points = project({"ours": line}, most=60)["ours"]
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert steps.max() < np.linalg.norm(points[0] - points[-1]) / 2


def test_the_same_vectors_have_the_same_map() -> None:
    """Also of more rows than PCA takes on exactly."""
    sets = {"ours": np.random.default_rng(0).normal(size=(520, 60)).astype(np.float32)}
    assert (project(sets)["ours"] == project(sets)["ours"]).all()


def test_another_seed_draws_another_sample() -> None:
    sets = {"ours": vectors(300)}
    one, two = (project(sets, most=40, seed=seed)["ours"] for seed in (0, 1))
    assert not (one == two).all()


def test_sets_that_are_alike_overlap_and_others_do_not() -> None:
    sets = {"ours": vectors(60), "alike": vectors(60, 1), "far": vectors(60, 2, at=10.0)}
    found = project(sets)

    def nearest(name: str) -> set[str]:
        others = {other: points for other, points in found.items() if other != name}
        return {
            min(others, key=lambda other: np.linalg.norm(others[other] - point, axis=1).min())
            for point in found[name]
        }

    assert nearest("ours") == {"alike"}
    assert nearest("alike") == {"ours"}


@pytest.mark.parametrize("rows", [5, 6, 12])
def test_few_rows_are_enough(rows: int) -> None:
    assert project({"ours": vectors(rows)})["ours"].shape == (rows, 2)


def test_rows_count_over_all_sets() -> None:
    assert project({}) == {}
    assert project({"ours": vectors(4)}) == {}
    assert len(project({"ours": vectors(4), "theirs": vectors(1, 1)})) == 2


def test_rows_that_are_all_the_same_are_no_map() -> None:
    assert project({"ours": np.ones((50, DIM), np.float32)}) == {}


def test_without_scikit_learn_there_is_no_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert project({"ours": vectors(20)}) == {}


def test_categories_are_those_of_the_rows_on_the_map(tmp_path: Path) -> None:
    rows = MAPPED + 700
    labels = [None if n % 5 == 0 else f"label {n}" for n in range(rows)]
    shards = []
    for n, part in enumerate((labels[:1500], labels[1500:])):
        shards.append(tmp_path / f"train-0000{n}-of-00002.parquet")
        pq.write_table(pa.table({"task_category": pa.array(part, pa.string())}), shards[-1])
    drawn = sample_rows(range(rows), MAPPED)
    assert folder._categories(shards, rows) == [labels[n] for n in drawn]
    assert folder._categories(shards, rows - 1) == [], "the map is of other rows"
