"""What holds for any selection of any rows."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, get_args

from hypothesis import assume, given
from hypothesis import strategies as st

from magpie_hub.gates.registry import GATES
from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import READS, Difficulty, Quality, Selection
from magpie_hub.selection.rules import RULES, build_rules, selection_reason
from magpie_hub.selection.select import Selector
from tests.selection.selecting import select

QUALITIES, DIFFICULTIES = get_args(Quality), get_args(Difficulty)
JUDGES = ("tags", "reward", "base", "safety", "language", "neighbors")
REWARDS = (-20.0, -12.0, -11.5, -10.0, 0.0, 3.0)


def or_none(values: Iterable[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from((None, *values))


def rows() -> st.SearchStrategy[list[LabeledRow]]:
    row = st.builds(
        LabeledRow,
        row_id=st.integers(0, 200),
        instruction_ends_with_colon=st.booleans(),
        response_chars=st.integers(0, 5),
        labels=st.fixed_dictionaries(
            {
                "input_quality": or_none(QUALITIES),
                "difficulty": or_none(DIFFICULTIES),
                "instruct_reward": or_none(REWARDS),
                "reward_difference": or_none(REWARDS),
                "safe": or_none((True, False)),
                "language": or_none(("EN", "ZH")),
            }
        ),
        leader=or_none((0, 1, 2)),
        published=or_none(("u",)),
        failures=st.sampled_from(({}, {}, *({judge: "x"} for judge in JUDGES))),
    )
    return st.lists(row, unique_by=lambda row: row.row_id, max_size=25)


MIXES = or_none({"easy": easy, "harder": 1 - easy} for easy in (0.5, 0.3, 0.9))


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    keys = {
        "min_quality": draw(or_none(QUALITIES)),
        "reward_difference_above": draw(or_none(REWARDS)),
        "drop_near_duplicates": draw(st.booleans()),
        "drop_colon": draw(st.booleans()),
        "require_safe": draw(st.booleans()),
        "languages": draw(or_none((("en",), ("EN", "zh")))),
        "longest": draw(st.booleans()),
        "difficulty_mix": draw(MIXES),
        draw(st.sampled_from(("reward_above", "reward_at_least"))): draw(or_none(REWARDS)),
    }
    if keys["difficulty_mix"] is None:
        keys["min_difficulty"] = draw(or_none(DIFFICULTIES))
    return Selection.model_validate(keys)


def milder() -> st.SearchStrategy[Selection]:
    """Selections that many rows pass."""
    return st.builds(
        lambda **keys: Selection.model_validate(keys),
        longest=st.booleans(),
        drop_colon=st.booleans(),
        difficulty_mix=MIXES,
    )


ANY = milder() | selections()
WANTED = st.none() | st.integers(0, 12)


@given(rows(), ANY, WANTED, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_decides_nothing(
    made: list[LabeledRow], selection: Selection, wanted: int | None, draw: random.Random
) -> None:
    shuffled = draw.sample(made, len(made))
    assert select(shuffled, selection, wanted) == select(made, selection, wanted)


@given(rows(), ANY, WANTED)
def test_every_row_is_kept_or_has_one_reason(
    made: list[LabeledRow], selection: Selection, wanted: int | None
) -> None:
    selected = select(made, selection, wanted)
    rejected = [row_id for row_ids in selected.rejected.values() for row_id in row_ids]
    assert sorted([*selected.kept, *rejected]) == sorted(row.row_id for row in made)
    assert list(selected.kept) == sorted(selected.kept)
    assert all(list(row_ids) == sorted(row_ids) for row_ids in selected.rejected.values())


@given(rows(), ANY, WANTED)
def test_no_more_are_kept_than_wanted_and_none_is_left_out_while_there_is_room(
    made: list[LabeledRow], selection: Selection, wanted: int | None
) -> None:
    rules = build_rules(selection)
    passed = [row for row in made if selection_reason(rules, row) is None]
    kept = select(made, selection, wanted).kept
    assert wanted is None or len(kept) <= wanted
    if selection.difficulty_mix is None:
        assert len(kept) == (len(passed) if wanted is None else min(wanted, len(passed)))


@given(rows(), milder())
def test_a_mix_without_a_number_keeps_as_many_as_its_shares_allow(
    made: list[LabeledRow], selection: Selection
) -> None:
    kept = select(made, selection).kept
    assert select(made, selection, wanted=len(kept)).kept == kept
    for more in range(len(kept) + 1, len(made) + 1):
        assert len(select(made, selection, wanted=more).kept) < more


@given(rows(), ANY, st.integers(0, 12))
def test_nothing_left_out_is_longer_than_what_is_kept_of_its_part(
    made: list[LabeledRow], selection: Selection, wanted: int
) -> None:
    assume(selection.longest)
    rules = build_rules(selection)
    kept = set(select(made, selection, wanted).kept)
    passed = [row for row in made if selection_reason(rules, row) is None]
    mixed = selection.difficulty_mix is not None
    for easy in (True, False):
        part = [row for row in passed if not mixed or (row.labels["difficulty"] == "easy") == easy]
        inside = [(-row.response_chars, row.row_id) for row in part if row.row_id in kept]
        outside = [(-row.response_chars, row.row_id) for row in part if row.row_id not in kept]
        assert not inside or not outside or max(inside) < min(outside)


@given(rows(), milder(), st.integers(1, 4), st.sampled_from((1.0, 1.5, 2.0)))
def test_the_rows_that_are_wanted_are_there_once_none_is_missing(
    made: list[LabeledRow], selection: Selection, wanted: int, oversample: float
) -> None:
    selector = Selector(selection, wanted, oversample)
    for row in made:
        before = selector.missing
        passed = selector.add(row) is None
        assert selector.missing in ((before - 1, before) if passed else (before,))
        if not selector.missing:
            break
    kept = selector.result().kept
    if selector.missing:
        assert selector.passed < wanted * oversample or selection.difficulty_mix is not None
        return
    assert selector.passed >= wanted * oversample
    assert len(kept) == wanted
    if mix := selection.difficulty_mix:
        easy = sum(row.labels["difficulty"] == "easy" for row in made if row.row_id in kept)
        assert abs(easy - wanted * mix.easy) <= 0.5 + 1e-6


@given(rows(), ANY, st.data())
def test_a_stricter_selection_passes_no_row_that_a_milder_one_drops(
    made: list[LabeledRow], selection: Selection, data: st.DataObject
) -> None:
    assume(selection.difficulty_mix is None)
    keys = selection.model_dump()
    stricter = dict(keys)
    for key, levels in (("min_quality", QUALITIES), ("min_difficulty", DIFFICULTIES)):
        least = levels.index(keys[key]) if keys[key] else 0
        stricter[key] = data.draw(st.sampled_from(levels[least:]))
    threshold = "reward_at_least" if keys["reward_at_least"] is not None else "reward_above"
    for key in (threshold, "reward_difference_above"):
        stricter[key] = (keys[key] or 0.0) + data.draw(st.sampled_from((0.0, 0.5, 9.0)))
    stricter |= {"drop_near_duplicates": True, "drop_colon": True, "require_safe": True}
    stricter["languages"] = (keys["languages"] or ("en",))[:1]
    mild = set(select(made, selection).kept)
    assert set(select(made, Selection.model_validate(stricter)).kept) <= mild


@given(rows(), ANY)
def test_a_row_that_lacks_what_a_rule_reads_is_never_kept(
    made: list[LabeledRow], selection: Selection
) -> None:
    kept = set(select(made, selection).kept)
    reads = {
        "min_quality": "input_quality",
        "min_difficulty": "difficulty",
        "difficulty_mix": "difficulty",
        "reward_above": "instruct_reward",
        "reward_at_least": "instruct_reward",
        "reward_difference_above": "reward_difference",
        "languages": "language",
        "require_safe": "safe",
    }
    for row in made:
        if row.row_id in kept:
            assert all(row.labels[reads[key]] is not None for key in reads if selection.is_on(key))
            assert not selection.drop_near_duplicates or "neighbors" not in row.failures


@given(ANY)
def test_a_selection_needs_the_judges_that_its_rules_read(selection: Selection) -> None:
    keys = {key for rule in build_rules(selection) for key in rule.keys if selection.is_on(key)}
    assert selection.needs() == {judge for key in keys for judge in READS.get(key, ())}


def test_rules_bear_distinct_names_and_read_known_judges() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    keys = [key for rule in RULES for key in rule.keys]
    assert len(set(keys)) == len(keys)
    assert {judge for key in keys for judge in READS.get(key, ())} == set(JUDGES)
    assert not {rule.__name__ for rule in RULES} & {gate.__name__ for gate in GATES.values()}
