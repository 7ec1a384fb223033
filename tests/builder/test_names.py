"""No override bears a name that `load_dataset` takes for itself: it would not reach the recipe."""

from __future__ import annotations

import dataclasses
import inspect

import datasets
import pytest

from magpie_hub.recipe.overrides import OVERRIDES

TAKEN_BEFORE = {"trust_remote_code", "task", "ignore_verifications", "use_auth_token"}
"""Keywords of older versions; 4.0 and later still take the first out of what is left."""


@pytest.mark.parametrize(
    "call",
    [
        datasets.load_dataset,
        datasets.load_dataset_builder,
        datasets.GeneratorBasedBuilder.__init__,
        datasets.BuilderConfig,
    ],
)
def test_datasets_takes_no_knob_for_itself(call: object) -> None:
    taken = set(inspect.signature(call).parameters) | TAKEN_BEFORE  # type: ignore[arg-type]
    assert "revision" in taken or "name" in taken or "hash" in taken
    assert not taken & set(OVERRIDES)


def test_datasets_leaves_every_field_of_ours_alone() -> None:
    fields = {field.name for field in dataclasses.fields(datasets.BuilderConfig)}
    assert not fields & set(OVERRIDES)
