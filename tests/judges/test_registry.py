"""A judge is one file: what the package says and counts of it comes from its class."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pyarrow.parquet as pq
import pytest

from magpie_hub.judges.base import Judge, JudgeContext, Save
from magpie_hub.judges.columns import Column
from magpie_hub.judges.models import JudgeSetup
from magpie_hub.judges.registry import JUDGES
from magpie_hub.pipeline.run import Run
from magpie_hub.recipe.judges import Judges
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.examine import examine
from magpie_hub.release.card import tables
from magpie_hub.release.folder import Release, write_release
from magpie_hub.release.schema import arrow_schema
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label
from tests.toy_release import toy_job


class MoodJudge(Judge):
    """Asks whether an instruction asks; the whole of a new judge."""

    name = "mood"
    says = "whether the instruction asks"
    off = "**No mood:** rows were not judged for mood."
    columns = (
        Column(
            "mood",
            "text",
            "Whether the row asks or tells.",
            counted="labels",
            values=("asks", "tells", "sings"),
            heading="Mood",
            in_examples=True,
            drift="mix",
        ),
        Column("mood_score", "number", "How much.", counted="numbers", drift="mean"),
    )

    @classmethod
    def of(cls, setup: JudgeSetup) -> Self:
        return cls()

    def settings(self) -> dict[str, Any]:
        return {"reading": 1}

    def check(self) -> None: ...

    async def label(self, items: Sequence[TurnText], save: Save, context: JudgeContext) -> None:
        for item in items:
            if item.row_id % 7 == 0:
                save([Label(item.row_id, failure="speechless")])
                continue
            mood = "asks" if item.row_id % 2 else "tells"
            save([Label(item.row_id, {"mood": mood, "mood_score": float(item.row_id)})])


RECIPE = parse_recipe("{name: toy, description: A toy., model: toy/model}", "toy")


class MoodySection(Judges):
    """The recipe's section with a key for it."""

    mood: bool = False


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    monkeypatch.setitem(JUDGES, MoodJudge.name, MoodJudge)
    home = tmp_path / "home"
    toy = toy_job(home, turns=1)
    recipe = toy.recipe.model_copy(update={"judges": MoodySection(mood=True)})
    run = Run(recipe, toy.source, home, toy.gates)
    engines: Any = type("NoEngines", (), {"beside": None})
    with run.row_store(writable=True) as row_store:
        judges = run.judges({})
        judges.check()
        passed = [one.row_id for one in row_store.statuses() if one.finished and not one.reason]
        asyncio.run(judges.label(row_store, passed, engines, engines, lambda line: None))
    return write_release(run, tmp_path / "out")


def test_a_new_judge_is_read_from_its_class_alone(release: Release) -> None:
    table = pq.read_table(release.path / "data" / "default")
    assert table.schema.equals(arrow_schema(1, ("mood",)), check_metadata=False)
    rows = table.to_pylist()
    assert {row["mood"] for row in rows} == {"asks", "tells", None}
    failed = [row for row in rows if row["judge_failures"]]
    assert failed
    assert all(row["mood"] is None for row in failed)

    labels = release.stats["labels"]["mood"]
    assert sum(labels["counts"].values()) + labels["missing"] == len(rows)
    assert release.stats["numbers"]["mood_score"]["count"] == len(rows) - len(failed)
    assert release.stats["failures"] == {"mood": {"speechless": len(failed)}}

    card = release.card.read_text(encoding="utf-8")
    assert (
        "| `mood` | string | Whether the row asks or tells. | `mood` | if the judge failed |"
        in card
    )
    assert "### Mood\n\n| `mood` | asks | tells | sings | no label |" in card
    assert "| `mood_score` |" in card.split("### Scores and distances")[1]
    assert "`mood`: " in card.split("## Examples")[1].split("## How it was made")[0]


def test_the_card_says_which_judges_are_on_and_which_are_off(release: Release) -> None:
    recipe = RECIPE.model_copy(update={"judges": MoodySection(mood=True)})
    assert tables.judges(recipe, {}) == [("mood", MoodJudge.says, "", None)]
    assert "mood" not in tables.idle_judges(recipe)
    assert tables.idle_judges(RECIPE)["mood"] == MoodJudge.off


def test_new_rows_are_held_against_its_figures(release: Release) -> None:
    report = examine(release.stats, release.stats, Drift())
    names = {check.name for check in report.checks}
    assert {"mix.mood", "mean.mood_score", "judge.mood"} <= names
