"""Which machine a job gets, of those that the Hub lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.errors import HubError, UserError
from magpie_hub.hub.client import Busy
from magpie_hub.hub.jobs.hardware import Flavor, choose_flavor, list_flavors
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.load import load_recipe
from magpie_hub.recipe.variants import find_recipe, variant_names
from tests.hub_peer.jobs import MACHINES
from tests.hub_peer.server import HubPeer

FLAVORS = sorted(
    (
        Flavor(name, gigabytes * 1e9, dollars / 60)
        for name, (_, gigabytes, dollars) in MACHINES.items()
        if not name.startswith("inf")
    ),
    key=lambda flavor: (flavor.memory, flavor.cost),
)


def needing(gib: float | None, **more: object) -> Recipe:
    air = load_recipe(find_recipe("air"))
    return Recipe.model_validate({**air.model_dump(), "memory_gib": gib, **more})


def test_the_hub_is_asked_which_there_are(hub_peer: HubPeer) -> None:
    found = list_flavors(hub_peer.api())
    assert [flavor.name for flavor in found] == [flavor.name for flavor in FLAVORS]
    assert [flavor.memory for flavor in found] == [flavor.memory for flavor in FLAVORS]
    assert found[-1].cost == pytest.approx(40 / 60)


@pytest.mark.parametrize("kind", ["503", "html", "list", "object"])
def test_a_list_that_cannot_be_read_is_a_line(hub_peer: HubPeer, kind: str) -> None:
    hub_peer.faults.add("hardware", kind)
    with pytest.raises((Busy, HubError), match="asking for the machines of HF Jobs") as caught:
        list_flavors(hub_peer.api())
    assert str(caught.value).isprintable()


def test_every_variant_has_one() -> None:
    chosen = {
        name: choose_flavor(load_recipe(find_recipe(name)), FLAVORS).name
        for name in variant_names()
    }
    assert chosen["smol"] == "cpu-basic"
    assert chosen["air"] == "l4x1"
    assert chosen["pro"] == "rtx-pro-6000x2", "the cheaper of two with 192 GB"


@given(st.floats(0.1, 1200))
def test_the_smallest_that_fits_is_taken_and_smaller_ones_are_refused(gib: float) -> None:
    recipe = needing(gib)
    if all(flavor.usable_gib() < gib for flavor in FLAVORS):
        with pytest.raises(UserError, match="more than any"):
            choose_flavor(recipe, FLAVORS)
        return
    chosen = choose_flavor(recipe, FLAVORS)
    assert chosen.usable_gib() >= gib
    for flavor in FLAVORS:
        if flavor.memory < chosen.memory:
            with pytest.raises(UserError, match=f"{chosen.name} is the smallest that does"):
                choose_flavor(recipe, FLAVORS, flavor.name)
        else:
            assert choose_flavor(recipe, FLAVORS, flavor.name) is flavor


def test_a_recipe_that_takes_less_of_a_gpu_gets_a_larger_one() -> None:
    assert choose_flavor(needing(20, gpu_memory_utilization=0.5), FLAVORS).name == "l40sx1"
