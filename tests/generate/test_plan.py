"""The plan: seeds that depend on the row alone, and a mix that every prefix has."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.generate.plan import PERIOD, Plan, interleave, row_seed, row_uuid, stage_seed
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.load import load_recipe
from magpie_hub.recipe.variants import find_recipe


@given(st.lists(st.integers(1, 500_000), min_size=1, max_size=12), st.integers(1, 400))
def test_every_prefix_has_the_mix(weights: list[int], length: int) -> None:
    cycle = interleave(weights)
    counts = Counter(cycle[i % len(cycle)] for i in range(length))
    # Weights finer than the cycle's resolution are rounded to it.
    rounding = length * len(weights) / PERIOD
    for index, weight in enumerate(weights):
        share = length * weight / sum(weights)
        assert abs(counts[index] - share) <= len(weights) + rounding


def test_the_published_grid_of_air() -> None:
    plan = Plan(load_recipe(find_recipe("air")))
    counts = Counter((row.point.temperature, row.point.top_p) for row in map(plan.row, range(3000)))
    assert counts[1.0, 1.0] == counts[1.2, 0.99] == 300
    assert counts[1.25, 1.0] == counts[1.25, 0.99] == 100
    assert len(counts) == 12


def test_system_prompts_are_mixed_into_every_point() -> None:
    systems = [
        {"name": "math", "weight": 3, "text": "Mathematics."},
        {"name": "code", "weight": 1, "text": "Code."},
    ]
    points = [{"rows": 1}, {"temperature": 0.5, "rows": 1}]
    recipe = Recipe.model_validate(
        {
            "name": "a",
            "description": "a",
            "model": "a/a",
            "instruct": {
                "grid": {"rows": 2, "points": tuple(points)},
                "systems": tuple(systems),
            },
        }
    )
    rows = [Plan(recipe).row(i) for i in range(80)]
    counts = Counter((row.system.name, row.point.temperature) for row in rows if row.system)
    assert counts == {("math", 1.0): 30, ("math", 0.5): 30, ("code", 1.0): 10, ("code", 0.5): 10}


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**9))
def test_seeds_fit_every_engine_and_differ_by_stage_and_turn(seed: int, row: int) -> None:
    mine = row_seed(seed, row)
    stages = [stage_seed(mine, stage, turn) for stage in ("instruct", "respond") for turn in (1, 2)]
    assert all(0 <= value < 2**63 for value in [mine, *stages])
    assert len({mine, *stages}) == 5


def test_seeds_and_ids_are_these_for_ever() -> None:
    # A change here would orphan every published row.
    assert row_seed(42, 0) == 686821297015498424
    assert stage_seed(row_seed(42, 0), "respond", 2) == 91847420505038961
    assert row_uuid("a/b", row_seed(42, 0)) == "f4a5476c-7707-54eb-a327-33b8c2078b27"


def test_ids_differ_by_seed_and_model() -> None:
    ids = {
        row_uuid(model, row_seed(seed, row))
        for model in ("a/b", "a/c")
        for seed in (1, 2)
        for row in range(100)
    }
    assert len(ids) == 400
