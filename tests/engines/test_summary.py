"""The line that says how an engine runs, and what is kept of it."""

from __future__ import annotations

import asyncio
import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace as Space
from typing import Any

import pytest

from magpie_hub.engines import factory as choose
from magpie_hub.engines.base import Engine, EngineInfo
from magpie_hub.engines.factory import start_engine
from magpie_hub.engines.vllm import backend
from magpie_hub.engines.vllm.engine import VllmEngine, chosen_by_vllm
from magpie_hub.errors import OutOfMemory
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from tests.engines.test_device import H200, LLAMA_8B, gpus
from tests.tiny import write_tiny_model

VLLM = EngineInfo(
    "vllm",
    "0.32.0",
    "cpu",
    "float32",
    64,
    4096,
    {
        "threads": 2,
        "kv_cache_memory_bytes": 5_583_457_484,
        "kv_cache_tokens": 118_016,
        "max_num_batched_tokens": 4096,
        "enforce_eager": True,
    },
)


def test_a_running_vllm_in_one_line() -> None:
    assert VLLM.summary() == (
        "vllm 0.32.0: float32 on cpu (2 threads), 64 slots, context 4,096, KV cache 5.2 GiB "
        "(118,016 tokens, 28 rows of full length), 4,096 tokens a step, not compiled"
    )


def test_on_a_gpu_the_cache_is_told_in_tokens() -> None:
    settings = {"kv_cache_tokens": 800_000, "enforce_eager": False}
    line = replace(VLLM, device="NVIDIA H200 x1", settings=settings).summary()
    assert line.endswith(
        "float32 on NVIDIA H200 x1, 64 slots, context 4,096, KV cache (800,000 tokens, 195 rows "
        "of full length), compiled"
    )


def test_a_server_says_little() -> None:
    info = EngineInfo("server", "vllm 0.32.0", "http://gpu-box:8000/v1", "unknown", 256, 8192)
    assert info.summary() == (
        "server vllm 0.32.0: http://gpu-box:8000/v1, 256 slots, context 8,192"
    )


def config(**cache: Any) -> Any:
    return Space(
        scheduler_config=Space(max_num_batched_tokens=8192),
        cache_config=Space(block_size=32, num_gpu_blocks=1000, **cache),
        parallel_config=Space(data_parallel_size=2),
    )


def test_what_vllm_chose_is_kept() -> None:
    said = chosen_by_vllm(config(kv_cache_size_tokens=31_000))
    assert said == {"max_num_batched_tokens": 8192, "kv_cache_tokens": 31_000}


def test_an_older_vllm_tells_blocks_of_all_copies() -> None:
    assert chosen_by_vllm(config())["kv_cache_tokens"] == 16_000


@pytest.mark.engine
def test_transformers_says_how_it_runs(tmp_path: Path) -> None:
    from magpie_hub.models.source import pin

    said: list[str] = []

    async def main() -> Engine:
        source = pin(str(write_tiny_model(tmp_path / "tiny")), None)
        options = EngineOptions(engine="transformers", max_num_seqs=6)
        engine = await start_engine(source, options, tmp_path, say=said.append)
        await engine.close()
        return engine

    engine = asyncio.run(main())
    assert said[0].startswith("engine transformers: ")
    assert said[1:] == [engine.info.summary()]
    assert "6 slots, context 512, refilled 2 at a time" in said[1]
    assert engine.info.settings["threads"] >= 1


@pytest.fixture
def fake_vllm(monkeypatch: pytest.MonkeyPatch) -> list[EngineOptions]:
    """A machine with two GPUs, on which vLLM starts with 128 slots or fewer."""
    asked: list[EngineOptions] = []

    async def start(source: ModelSource, options: EngineOptions, **more: Any) -> Any:
        asked.append(options)
        if (options.max_num_seqs or 0) > 128:
            raise OutOfMemory("vLLM did not start: CUDA out of memory.")
        return Space(info=replace(VLLM, slots=options.max_num_seqs or 0))

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: find_spec("json" if name == "vllm" else name)
    )
    monkeypatch.setattr(backend, "_version", lambda name: "0.32.0" if name == "vllm" else None)
    monkeypatch.setattr(backend.VllmBackend, "broken", lambda *_: None)
    monkeypatch.setattr(choose, "find_device", lambda: gpus(H200, 1))
    monkeypatch.setattr(choose, "fetch", lambda source, *_, **__: source)
    monkeypatch.setattr(VllmEngine, "start", start)
    return asked


@pytest.mark.parametrize(("given", "tried"), [(None, [512, 256, 128]), (200, [200, 100])])
def test_slots_are_tried_as_asked_or_chosen_and_then_halved(
    fake_vllm: list[EngineOptions], tmp_path: Path, given: int | None, tried: list[int]
) -> None:
    said: list[str] = []
    options = EngineOptions(max_num_seqs=given)
    engine = asyncio.run(start_engine(LLAMA_8B, options, tmp_path, say=said.append))
    assert [options.max_num_seqs for options in fake_vllm] == tried
    assert engine.info.slots == tried[-1]
    assert len(said) == 1 + (len(tried) - 1) + 1
    assert all("out of memory" in line for line in said[1:-1])
    assert f"{tried[-1]} slots" in said[-1]


def test_long_rows_get_fewer_slots(fake_vllm: list[EngineOptions], tmp_path: Path) -> None:
    device = gpus(replace(H200, memory=24 << 30), 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "find_device", lambda: device)
        for row_tokens, slots in ((512, 80), (4096, 8)):
            asyncio.run(
                start_engine(
                    LLAMA_8B,
                    EngineOptions(),
                    tmp_path,
                    say=lambda text: None,
                    row_tokens=row_tokens,
                )
            )
            assert fake_vllm[-1].max_num_seqs == slots
