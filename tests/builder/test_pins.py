"""The cache of `load_dataset` is of the weights that are there, and of the gates as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from datasets.data_files import DataFilesDict

from magpie_hub.builder.magpie import MagpieConfig
from magpie_hub.gates.colon import Colon
from tests.tiny import write_tiny_model, write_tiny_recipe


def config_id(recipe: Path) -> str:
    config = MagpieConfig(name="tiny", data_files=DataFilesDict(train=[str(recipe)]))
    return config.create_config_id({})


def test_weights_replaced_in_place_are_another_dataset(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model")
    recipe = write_tiny_recipe(tmp_path / "tiny.magpie.yaml", model)
    before = config_id(recipe)
    assert config_id(recipe) == before
    other = write_tiny_model(tmp_path / "other", seed=1)
    shutil.rmtree(model)
    other.rename(model)
    assert config_id(recipe) != before


def test_a_gate_of_another_version_is_another_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_tiny_recipe(tmp_path / "r.magpie.yaml", write_tiny_model(tmp_path / "model"))
    # The recipe of a tiny model has its gates switched off.
    recipe.write_text(yaml.safe_dump({**yaml.safe_load(recipe.read_text()), "gates": {}}))
    before = config_id(recipe)
    monkeypatch.setattr(Colon, "version", Colon.version + 1)
    assert config_id(recipe) != before
