"""The labels of several judges, joined by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from magpie_hub.judges.join import JoinedLabels, open_labels
from magpie_hub.store.labels import Label, Labels

ANSWERED = Label(0, {"base_output": "It is a rock."})
SCORED = Label(0, {"reward_model": "m", "instruct_reward": 2.5, "base_reward": None})
TOO_LONG = Label(0, failure="too_long")


def columns(folder: Path, **labels: Label) -> dict[str, Any]:
    paths = {judge: folder / f"{judge}.db" for judge in labels}
    for judge, label in labels.items():
        with Labels(paths[judge]) as store:
            store.put([label])
    with open_labels(paths) as stores:
        (found,) = JoinedLabels(stores).columns(range(1))
        return found


def test_a_reward_difference_is_the_rows_reward_less_its_base_answers(tmp_path: Path) -> None:
    scored = Label(0, {**SCORED.values, "base_reward": 1.0})
    found = columns(tmp_path, base=ANSWERED, reward=scored)
    assert found["reward_difference"] == 1.5
    assert found["judge_failures"] == []


@pytest.mark.parametrize(
    ("base", "reward", "reasons"),
    [
        (ANSWERED, SCORED, {"base": "unscored"}),
        (TOO_LONG, SCORED, {"base": "too_long"}),
        (ANSWERED, TOO_LONG, {"reward": "too_long"}),
        (TOO_LONG, TOO_LONG, {"base": "too_long", "reward": "too_long"}),
    ],
)
def test_no_reward_is_missing_without_a_reason(
    tmp_path: Path, base: Label, reward: Label, reasons: dict[str, str]
) -> None:
    found = columns(tmp_path, base=base, reward=reward)
    assert found.get("base_reward") is None
    assert "reward_difference" not in found
    said = {failure["judge"]: failure["reason"] for failure in found["judge_failures"]}
    assert said == reasons


def test_neighbouring_rows_get_their_own_labels_and_nobody_elses(tmp_path: Path) -> None:
    with Labels(tmp_path / "language.db") as store:
        store.put([Label(2, {"language": "EN"}), Label(4, failure="broken"), Label(5)])
    with open_labels({"language": tmp_path / "language.db"}) as stores:
        found = JoinedLabels(stores).columns(range(1, 5))
    assert found == [
        {"judge_failures": []},
        {"language": "EN", "judge_failures": []},
        {"judge_failures": []},
        {"judge_failures": [{"judge": "language", "reason": "broken"}]},
    ]


def test_reading_a_row_does_not_count_all_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count(_: Labels) -> int:
        raise AssertionError("a row must not cost a look at every label")

    monkeypatch.setattr(Labels, "__len__", count)
    assert columns(tmp_path, base=ANSWERED)["base_output"] == "It is a rock."
