"""A recipe whose generator, a tiny real model, is its own tagger; and a tiny reward model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.judges.tiny_judges import write_reward_model
from tests.tiny import write_tiny_model, write_tiny_recipe


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"), context=8192)


@pytest.fixture(scope="session")
def reward_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reward_model(tmp_path_factory.mktemp("reward"))


@pytest.fixture
def recipe(tmp_path: Path, model: Path) -> Path:
    return write_tiny_recipe(
        tmp_path / "tiny.magpie.yaml",
        model,
        rows=6,
        max_model_len=4096,
        judges={"tags": {"mode": "compact"}, "language": True},
    )
