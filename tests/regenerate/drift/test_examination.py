"""What holds for any two sets: no false alarm, no exception, and nothing but the figures counts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.checks import check_mixes
from magpie_hub.regenerate.drift.examine import examine
from magpie_hub.regenerate.drift.report import write_report
from tests.regenerate.drift.described import described
from tests.regenerate.drift.toy_stats import Toy

NO_FLOORS = Drift(max_duplicates=None, max_unsafe=None)
EVERY_DIFFERENCE = Drift(
    passing=0, rejects=0, duplicates=0, unsafe=0, judge_failures=0, cut_off=0, mix=0, lengths=0,
    rewards=0,
)  # fmt: skip
"""Bounds under which whatever is sure is large as well."""

slowly = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")
"""Rewards of 1e300 have no standard deviation that a float can hold."""

mixtures = st.dictionaries(st.text(max_size=3), st.integers(1, 10**4), min_size=1, max_size=9)


def toy(seed: int, rows: int, turns: int = 1, **changes: Any) -> dict[str, Any]:
    return Toy(**changes).draw(np.random.default_rng(seed), rows, turns)


@pytest.mark.parametrize(
    ("published", "new", "turns"),
    [(64, 64, 1), (64, 1000, 1), (1000, 20, 1), (10_000, 100, 3), (10_000, 1000, 1)],
)
def test_equal_distributions_pass_though_every_difference_were_large(
    published: int, new: int, turns: int
) -> None:
    """At most 1 increment in 100 may fail. None does, and at a significance of 0.05 few do.

    At most 5 in 100 may then, over all checks together. Without the correction for their number
    it is 9 to 24 of the 40.
    """
    rng = np.random.default_rng(published + new)
    sets = [Toy().draw(rng, published, turns) for _ in range(8)]
    surest = []
    for n in range(40):
        found = examine(sets[n % 8], Toy().draw(rng, new, turns), EVERY_DIFFERENCE)
        assert not found.failed, found.failed
        assert len(found.checks) > 25
        surest.append(min(check.p for check in found.checks if check.p is not None))
    assert sum(p < 0.05 for p in surest) <= 4


def test_a_million_rows_that_are_alike_pass() -> None:
    rng = np.random.default_rng(5)
    found = examine(Toy().draw(rng, 300_000), Toy().draw(rng, 1_000_000), Drift())
    assert found.state == "ok"
    # Nearly everything is a little different, and surely so, when there is this much of it.
    assert any(check.p is not None and check.p < 0.5 for check in found.checks)


@slowly
@given(described())
def test_a_set_is_like_itself(stats: dict[str, Any]) -> None:
    found = examine(stats, stats, NO_FLOORS)
    assert [check.name for check in found.failed] == ([] if stats["rows"] else ["floor.rows"])
    assert not found.warnings


@slowly
@given(described(), described(), st.floats(0.01, 0.99), st.text(), st.text())
def test_any_two_sets_can_be_compared_and_reported(
    published: dict[str, Any], new: dict[str, Any], significance: float, name: str, tag: str
) -> None:
    found = examine(published, new, Drift(significance=significance, mix=0, lengths=0, rewards=0))
    assert all(check.p is None or 0 <= check.p <= 1 for check in found.checks)
    assert all(bool(check.says) is (check.state != "ok") for check in found.checks)
    assert len({check.name for check in found.checks}) == len(found.checks)
    json.dumps(found.to_json(), allow_nan=False)
    text = write_report(
        found, name=name, tick=name, tag=tag, repo_id=tag, published_rows=3, new_rows=new["rows"]
    )
    assert text.startswith("Refused" if found.failed else "Passed")
    text.encode()


def shuffled(data: Any, random: Any) -> Any:
    if isinstance(data, dict):
        keys = random.sample(list(data), len(data))
        return {key: shuffled(data[key], random) for key in keys}
    return data


@slowly
@given(described(), described(), st.randoms())
def test_the_order_of_keys_does_not_matter(
    published: dict[str, Any], new: dict[str, Any], random: Any
) -> None:
    bounds = Drift(significance=0.9, mix=0, rejects=0)
    found = examine(published, new, bounds)
    assert examine(shuffled(published, random), shuffled(new, random), bounds) == found


@settings(max_examples=50)
@given(mixtures, mixtures, st.integers(1, 1000), st.integers(1, 1000))
def test_more_rows_of_the_same_mix_are_as_far_apart(
    published: dict[str, int], new: dict[str, int], one: int, other: int
) -> None:
    def distance(times: int, new_times: int) -> float:
        sets = [
            {"labels": {"language": {"counts": {k: n * v for k, v in mix.items()}, "missing": 0}}}
            for mix, n in ((published, times), (new, new_times))
        ]
        (check,) = check_mixes(sets[0], sets[1], Drift())
        return check.size

    assert distance(one, other) == pytest.approx(distance(1, 1))
    assert 0 <= distance(1, 1) <= 1


@pytest.mark.parametrize("rows", [None, 0, 3])
def test_rows_that_could_not_be_finished_are_judged_by_what_there_is(rows: int | None) -> None:
    published = toy(1, 2000)
    rejected = {"instruction.garbage:scripts": 297 - (rows or 0), "instruction.empty": 3}
    new: dict[str, Any] = {
        "funnel": {"planned": 300, "rejected": rejected, "delivered": rows or 0},
        "yield": (rows or 0) / 300,
    }
    if rows is not None:
        new["rows"] = rows
    found = examine(published, new, Drift())
    failed = {check.name for check in found.failed}
    assert {"yield", "reject.instruction.garbage"} <= failed
    assert ("floor.rows" in failed) is not rows
    assert not any(check.name.startswith(("mix", "length", "mean")) for check in found.checks)
    assert "instruction.garbage" in [reason.code for reason in found.reasons]


def test_labels_that_one_set_lacks_are_left_out() -> None:
    published, new = toy(1, 500), toy(2, 500)
    del published["labels"]["safe"], new["labels"]["language"]
    del new["numbers"], new["failures"]
    found = examine(published, new, Drift(min_reward=0.0))
    names = {check.name for check in found.checks}
    assert found.state == "ok"
    assert not names & {"unsafe", "mix.language", "mean.instruct_reward", "floor.reward"}
    assert "mix.task_category" in names


CHECKS_OF = {
    "passing": "yield",
    "rejects": "reject.instruction.garbage",
    "duplicates": "duplicates",
    "unsafe": "unsafe",
    "judge_failures": "judge.tags",
    "cut_off": "cut_off",
    "mix": "mix.task_category",
    "lengths": "length.response_tokens.p95",
    "rewards": "mean.reward_difference",
    "min_yield": "floor.yield",
    "max_duplicates": "floor.duplicates",
    "max_unsafe": "floor.unsafe",
    "min_reward": "floor.reward",
}


@pytest.mark.parametrize("key", [key for key in Drift.model_fields if key != "significance"])
def test_a_bound_of_null_switches_its_checks_off_and_only_those(key: str) -> None:
    published, new = toy(1, 300), toy(2, 300)
    every = Drift(min_yield=0.1, min_reward=-9.0)
    names = {check.name for check in examine(published, new, every).checks}
    assert names >= set(CHECKS_OF.values())
    left = examine(published, new, every.model_copy(update={key: None})).checks
    gone = names - {check.name for check in left}
    family = CHECKS_OF[key].split(".")[0]
    assert CHECKS_OF[key] in gone
    assert family == "floor" or all(name.startswith(family) for name in gone)
    assert gone == {CHECKS_OF[key]} or family in ("reject", "judge", "mix", "length", "mean")


def test_what_is_kept_for_the_manifest() -> None:
    fine = examine(toy(1, 2000), toy(2, 500), Drift()).to_json()
    assert fine["state"] == "ok"
    assert fine["not_ok"] == []
    assert fine["figures"]["yield"]["new"] == pytest.approx(0.64, abs=0.05)
    assert "length.response_tokens.p50" in fine["figures"]
    bad = examine(toy(1, 2000), toy(2, 500, response_tokens=800.0), Drift()).to_json()
    assert bad["state"] == "failed"
    (first, *_) = bad["not_ok"]
    assert first["name"].startswith("length.response_tokens")
    assert first["difference"] > first["bound"] == 0.5
    assert first["p"] < 0.001
    assert first["says"].startswith("median of response_tokens: ")
