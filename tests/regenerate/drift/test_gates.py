"""What each kind of damage does, and what looks like damage and is none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.checks import check_lengths
from magpie_hub.regenerate.drift.examine import examine
from magpie_hub.regenerate.drift.significance import Proportion, fisher_greater
from magpie_hub.release.stats import distribution
from tests.regenerate.drift.toy_stats import LANGUAGES, REASONS, Toy

SPREAD = float(np.pi / np.sqrt(6) * 2)
"""Standard deviation of the toy's rewards."""

GARBAGE = {**{reason: share / 10 for reason, share in REASONS.items()}, "instruction.garbage": 0.9}


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    return Toy().draw(np.random.default_rng(1), 5000, turns=2)


def names(found: Any) -> set[str]:
    return {check.name for check in found}


@pytest.mark.parametrize(
    ("damage", "failing"),
    [
        (Toy(reasons=GARBAGE), {"yield", "reject.instruction.garbage"}),
        (Toy(categories={"Math": 0.9, "Planning": 0.1}), {"mix.task_category"}),
        (Toy(languages={"ZH": 0.9, "EN": 0.1}), {"mix.language"}),
        (Toy(languages={"KO": 1.0}), {"mix.language"}),
        (Toy(response_tokens=800.0), {"length.response_tokens.p50", "length.response_tokens.p95"}),
        (Toy(response_tokens=200.0), {"length.response_tokens.p50", "length.response_tokens.p95"}),
        (Toy(reward=-0.5 * SPREAD), {"mean.instruct_reward", "mean.reward_difference"}),
        (Toy(unsafe=0.12), {"unsafe"}),
        (Toy(failing=0.1), {"judge.tags"}),
        (Toy(cut=0.1), {"cut_off", "cut_off_2"}),
        (Toy(reasons={**REASONS, "selection.published": 0.25}), {"duplicates"}),
    ],
)
def test_damage_is_refused(published: dict[str, Any], damage: Toy, failing: set[str]) -> None:
    found = examine(published, damage.draw(np.random.default_rng(2), 1000, turns=2), Drift())
    assert failing <= names(found.failed)


@pytest.mark.parametrize(
    ("damage", "failing"),
    [
        (Toy(reasons=GARBAGE), "yield"),
        (Toy(categories={"Others": 1.0}), "mix.task_category"),
        (Toy(languages={"KO": 1.0}), "mix.language"),
    ],
)
def test_twenty_rows_suffice_for_plain_damage(
    published: dict[str, Any], damage: Toy, failing: str
) -> None:
    found = examine(published, damage.draw(np.random.default_rng(3), 20), Drift())
    assert failing in names(found.failed)


def test_a_difference_that_is_sure_and_over_half_of_its_bound_warns(
    published: dict[str, Any],
) -> None:
    new = Toy(reward=-0.35).draw(np.random.default_rng(4), 4000)
    found = examine(published, new, Drift())
    assert not found.failed
    assert found.state == "warning"
    (check,) = found.warnings
    assert check.name == "mean.reward_difference"
    assert check.bound / 2 < check.size < check.bound
    assert "standard deviations" in check.says


def test_a_large_difference_among_few_rows_is_let_pass(published: dict[str, Any]) -> None:
    new = Toy().draw(np.random.default_rng(5), 20)
    new["labels"]["safe"]["counts"] = {"safe": 18, "unsafe": 2}
    found = examine(published, new, Drift())
    (check,) = (one for one in found.checks if one.name == "unsafe")
    assert check.size > check.bound
    assert check.state == "unsure"
    assert not found.failed


def test_a_small_difference_that_is_sure_is_let_pass() -> None:
    rng = np.random.default_rng(6)
    languages = {**LANGUAGES, "EN": LANGUAGES["EN"] - 0.02, "ES": LANGUAGES["ES"] + 0.02}
    found = examine(Toy().draw(rng, 50_000), Toy(languages=languages).draw(rng, 50_000), Drift())
    (check,) = (one for one in found.checks if one.name == "mix.language")
    assert check.p is not None
    assert check.p < 1e-9
    assert check.state == "ok"


def test_fewer_failures_cuts_and_repeats_are_no_damage() -> None:
    rng = np.random.default_rng(7)
    worse = Toy(failing=0.3, cut=0.3, reasons={**REASONS, "instruction.duplicate": 0.2})
    found = examine(worse.draw(rng, 3000), Toy().draw(rng, 3000), Drift(mix=None))
    assert not names([*found.failed, *found.warnings]) & {"judge.tags", "cut_off", "duplicates"}


def test_a_guard_that_calls_everything_safe_is_seen() -> None:
    rng = np.random.default_rng(8)
    found = examine(Toy(unsafe=0.1).draw(rng, 3000), Toy(unsafe=0.0).draw(rng, 1000), Drift())
    assert names(found.failed) == {"unsafe"}


def funnel(planned: int, **rejected: int) -> dict[str, Any]:
    reasons = {code.replace("__", "."): rows for code, rows in rejected.items()}
    left = planned - sum(rejected.values())
    return {"funnel": {"planned": planned, "rejected": reasons, "delivered": left}, "rows": left}


@pytest.mark.parametrize("new", [1000, 5000, 20_000])
@pytest.mark.parametrize("favourites", [0, 5])
def test_repeats_that_come_with_more_rows_are_no_damage(new: int, favourites: int) -> None:
    """The same draws go on: later rows repeat earlier ones more often, and nothing else changes."""
    rng = np.random.default_rng(new + favourites)
    draws = rng.integers(0, 40_000, 10_000 + new)
    if favourites:
        draws = np.where(rng.random(len(draws)) < 0.1, rng.integers(0, favourites), draws)
    seen: set[int] = set()
    repeats: Counter[bool] = Counter()
    for place, draw in enumerate(draws.tolist()):
        repeats[place < 10_000] += draw in seen
        seen.add(draw)
    published = funnel(10_000, instruction__duplicate=repeats[True])
    increment = funnel(new, instruction__duplicate=repeats[False])
    assert repeats[False] / new > repeats[True] / 10_000
    found = examine(published, increment, Drift(max_duplicates=None))
    assert found.state == "ok"
    more = funnel(new, instruction__duplicate=repeats[False], selection__published=new // 2)
    assert names(examine(published, more, Drift()).failed) >= {"duplicates", "floor.duplicates"}


def test_rows_that_a_quota_left_over_are_no_rejects() -> None:
    published = funnel(1000, selection__quality=100, selection__mix=300)
    new = funnel(1000, selection__quality=100, selection__shorter=10, selection__mix=20)
    found = examine(published, new, Drift())
    assert found.state == "ok"
    assert names(found.checks) >= {"yield", "reject.selection.quality"}
    assert not names(found.checks) & {"reject.selection.mix", "reject.selection.shorter"}
    assert {reason.code for reason in found.reasons} >= {"selection.mix", "selection.shorter"}


@pytest.mark.parametrize(
    ("bounds", "name"),
    [
        (Drift(min_yield=0.9), "floor.yield"),
        (Drift(max_duplicates=0.001), "floor.duplicates"),
        (Drift(max_unsafe=0.0), "floor.unsafe"),
        (Drift(min_reward=99.0), "floor.reward"),
    ],
)
def test_floors_hold_whatever_is_published(
    published: dict[str, Any], bounds: Drift, name: str
) -> None:
    found = examine(published, published, bounds)
    assert names(found.failed) == {name}
    assert "the recipe asks for at" in found.failed[0].says
    assert found.failed[0].p is None


tokens = st.lists(st.integers(0, 3) | st.integers(0, 5000), min_size=1, max_size=60)


@given(tokens, tokens)
def test_histograms_are_never_surer_than_the_rows(old: list[int], new: list[int]) -> None:
    """Some edge of the published bins parts the rows themselves at least as surely."""
    sets = [
        {"lengths": {"response_tokens": distribution(np.array(rows), len(rows), tail=True)}}
        for rows in (old, new)
    ]
    edges = sets[0]["lengths"]["response_tokens"]["histogram"]["edges"]
    best = 1.0
    for edge in (*edges, max(old) + 0.5):
        parted = [Proportion(sum(one >= edge for one in rows), len(rows)) for rows in (new, old)]
        rest = [Proportion(part.of - part.count, part.of) for part in parted]
        best = min(best, 2 * fisher_greater(*parted), 2 * fisher_greater(*rest))
    for check in check_lengths(sets[0], sets[1], Drift()):
        assert check.p is not None
        assert check.p >= best - 1e-12
        assert check.published == pytest.approx(
            np.percentile(old, 50 if check.name.endswith("p50") else 95), rel=1e-5
        )


def test_lengths_within_one_bin_of_each_other_are_not_told_apart() -> None:
    rng = np.random.default_rng(9)
    sets = [
        {"lengths": {"response_tokens": distribution(rows, len(rows), tail=True)}}
        for rows in (
            rng.integers(100, 5000, 9000),
            np.r_[100, 5000, rng.integers(2560, 2580, 9000)],
        )
    ]
    median, _ = check_lengths(sets[0], sets[1], Drift(lengths=0))
    assert abs(median.new - (median.published or 0)) < 100
    assert median.p == 1.0


def test_constant_lengths_that_moved_are_told_apart() -> None:
    sets = [
        {"lengths": {"response_tokens": distribution(np.full(50, length), 50, tail=True)}}
        for length in (10, 20)
    ]
    for order in (sets, sets[::-1]):
        for check in check_lengths(order[0], order[1], Drift()):
            assert check.size == pytest.approx(1.0)
            assert check.p is not None
            assert check.p < 1e-20
