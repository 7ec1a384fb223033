"""Every test has a MAGPIE_HOME and a cache of datasets of its own, and no way to the Hub."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Read by huggingface_hub and datasets when they are imported, so set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Shared machines are noisy; a property is about results, not milliseconds.
settings.register_profile("magpie", deadline=None)
settings.load_profile("magpie")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MAGPIE_") and name != "MAGPIE_TEST_MODELS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("MAGPIE_HOME", str(tmp_path / "home"))
