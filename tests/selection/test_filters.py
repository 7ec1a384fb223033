"""What the published filters decide, row for row."""

from __future__ import annotations

from typing import Any

import pytest

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import PRESETS, Selection
from magpie_hub.selection.rules import build_rules, selection_reason
from tests.selection.selecting import reasons, select

COLUMNS = (
    *("air-filter", "pro-filter", "pro-filter2", "pro-filter3", "pro-filter4"),
    *("pro-filter5", "pro-filter6", "pro-300k-card", "notebook"),
)
LETTERS = {
    ".": None,
    "C": "selection.colon",
    "Q": "selection.quality",
    "D": "selection.difficulty",
    "N": "selection.near_duplicate",
    "P": "selection.published",
    "R": "selection.reward",
    "X": "selection.reward_difference",
    "t": "selection.unjudged.tags",
    "n": "selection.unjudged.neighbors",
    "r": "selection.unjudged.reward",
    "b": "selection.unjudged.base",
}

# Characters, quality, difficulty, reward, reward difference, what else; verdicts by COLUMNS.
TABLE: list[tuple[int, str | None, str | None, float | None, float | None, dict[str, Any], str]] = [
    (100, "excellent", "hard", 2.0, 3.0, {}, "........."),
    (999, "good", "medium", -12.0, 1.0, {}, ".RRR.RRRR"),
    (900, "good", "medium", -11.99, 1.0, {}, ".......RR"),
    (300, "average", "easy", -10.0, 1.0, {}, "Q.Q.QQ..Q"),
    (900, "good", "easy", -10.0, 0.5, {}, "D.......R"),
    (200, "good", "easy", -9.99, 0.0, {}, "D...X...."),
    (900, "good", "medium", -5.0, 0.0, {}, "X...X...."),
    (50, "good", "medium", -5.0, 0.01, {}, "........."),
    (400, "average", "medium", -5.0, 1.0, {}, "Q.Q.QQ..Q"),
    (10, "poor", "medium", 1.0, 1.0, {}, "QQQ.QQ.QQ"),
    (999, "very poor", "very easy", -20.0, -1.0, {}, "QQQRQQDQQ"),
    (20, "good", "very easy", 0.0, 1.0, {}, "D.D.DDD.."),
    (999, "good", "medium", 0.0, 1.0, {"leader": 0}, "NNNNNNNNN"),
    (500, "good", "medium", 0.0, 1.0, {"leader": 13}, "........."),
    (600, "good", "hard", 0.0, 1.0, {"instruction_ends_with_colon": True}, ".......CC"),
    (999, "excellent", "very hard", 0.0, 1.0, {"published": "8cabba98"}, "PPPPPPPPP"),
    (800, None, None, 0.0, 1.0, {"failures": {"tags": "too_long"}}, "ttt.ttttt"),
    (999, "good", "hard", None, None, {"failures": {"reward": "too_long"}}, "rrrrrrrrr"),
    (30, "good", "hard", 0.0, None, {"failures": {"base": "empty"}}, "b...b...."),
    (999, "good", "hard", 0.0, 1.0, {"failures": {"neighbors": "x"}}, "nnnnnnnnn"),
]
ROWS = [
    LabeledRow(
        row_id=row_id,
        response_chars=chars,
        labels={
            "input_quality": quality,
            "difficulty": difficulty,
            "instruct_reward": reward,
            "reward_difference": difference,
        },
        **more,
    )
    for row_id, (chars, quality, difficulty, reward, difference, more, _) in enumerate(TABLE)
]


def preset(name: str, **keys: Any) -> Selection:
    return Selection.model_validate({"preset": name, **keys})


def test_the_table_has_every_preset() -> None:
    assert set(COLUMNS) == set(PRESETS)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_preset_decides_as_published(name: str) -> None:
    column = COLUMNS.index(name)
    rules = build_rules(preset(name))
    decided = {row.row_id: selection_reason(rules, row) for row in ROWS}
    assert decided == {n: LETTERS[line[-1][column]] for n, line in enumerate(TABLE)}


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "pro-filter6"])
def test_all_that_pass_are_kept_when_no_number_is_wanted(name: str) -> None:
    column = COLUMNS.index(name)
    selected = select(ROWS, preset(name))
    assert list(selected.kept) == [n for n, line in enumerate(TABLE) if line[-1][column] == "."]
    found = reasons(selected)
    assert all(found.get(n) == LETTERS[line[-1][column]] for n, line in enumerate(TABLE))


def test_the_longest_are_kept_and_the_lower_row_of_equals() -> None:
    selected = select(ROWS, preset("pro-filter"), wanted=4)
    assert list(selected.kept) == [2, 4, 6, 14]
    assert list(select(ROWS, preset("pro-filter"), wanted=2).kept) == [2, 4]
    assert list(selected.rejected["selection.shorter"]) == [0, 3, 5, 7, 8, 11, 13, 18]


def test_filter5_keeps_the_first_instead() -> None:
    selected = select(ROWS, preset("pro-filter5"), wanted=3)
    assert list(selected.kept) == [0, 2, 4]
    assert list(selected.rejected["selection.surplus"]) == [5, 6, 7, 13, 14, 18]


def test_filter6_keeps_half_easy_and_half_harder_rows() -> None:
    selected = select(ROWS, preset("pro-filter6"), wanted=4)
    assert list(selected.kept) == [2, 3, 4, 6]
    assert list(selected.rejected["selection.mix"]) == [0, 5, 7, 8, 9, 13, 14, 18]
    # Three easy rows passed, so no more than three harder ones have a place.
    assert list(select(ROWS, preset("pro-filter6")).kept) == [2, 3, 4, 5, 6, 14]


def test_languages_are_codes_in_either_case_and_no_language_is_none_of_them() -> None:
    rules = build_rules(Selection.model_validate({"languages": ("zh", "EN")}))
    said = [("ZH", {}), ("en", {}), ("DE", {}), (None, {}), (None, {"language": "broken"})]
    reasons = [
        selection_reason(rules, LabeledRow(0, {"language": code}, failures))
        for code, failures in said
    ]
    refused = "selection.language"
    assert reasons == [None, None, refused, refused, "selection.unjudged.language"]


def test_safe_means_called_safe() -> None:
    rules = build_rules(Selection(require_safe=True))
    reasons = [
        selection_reason(rules, LabeledRow(0, {"safe": safe})) for safe in (True, False, None)
    ]
    assert reasons == [None, "selection.safety", "selection.unjudged.safety"]


def test_a_reward_that_is_no_number_passes_no_threshold() -> None:
    for key in ("reward_above", "reward_at_least"):
        rules = build_rules(Selection.model_validate({key: -12.0}))
        row = LabeledRow(0, {"instruct_reward": float("nan")})
        assert selection_reason(rules, row) == "selection.reward"


def test_without_rules_everything_passes() -> None:
    assert list(select(ROWS, Selection()).kept) == list(range(len(ROWS)))
