"""Which machine a job gets."""

from __future__ import annotations

import pytest
from huggingface_hub import JobHardware
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.errors import UserError
from magpie_hub.hub.jobs.hardware import FLAVORS, choose_flavor
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.load import load_recipe
from magpie_hub.recipe.variants import find_recipe, variant_names


def needing(gib: float | None, **more: object) -> Recipe:
    air = load_recipe(find_recipe("air"))
    return Recipe.model_validate({**air.model_dump(), "memory_gib": gib, **more})


def test_every_variant_has_one() -> None:
    chosen = {name: choose_flavor(load_recipe(find_recipe(name))).name for name in variant_names()}
    assert chosen["smol"] == "cpu-basic"
    assert chosen["air"] == "l4x1"
    assert chosen["pro"] == "rtx-pro-6000x2", "the cheaper of two with 192 GB"


def test_the_hub_knows_all_of_them() -> None:
    assert {flavor.name for flavor in FLAVORS} <= {flavor.value for flavor in JobHardware}


@given(st.floats(0.1, 1200))
def test_the_smallest_that_fits_is_taken_and_smaller_ones_are_refused(gib: float) -> None:
    recipe = needing(gib)
    if all(flavor.usable_gib() < gib for flavor in FLAVORS):
        with pytest.raises(UserError, match="more than any"):
            choose_flavor(recipe)
        return
    chosen = choose_flavor(recipe)
    assert chosen.usable_gib() >= gib
    for flavor in FLAVORS:
        if flavor.gigabytes < chosen.gigabytes:
            with pytest.raises(UserError, match=f"{chosen.name} is the smallest that does"):
                choose_flavor(recipe, flavor.name)
        else:
            assert choose_flavor(recipe, flavor.name) is flavor


def test_a_recipe_that_takes_less_of_a_gpu_gets_a_larger_one() -> None:
    assert choose_flavor(needing(20, gpu_memory_utilization=0.5)).name == "l40sx1"
