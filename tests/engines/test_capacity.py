"""How many sequences a device decodes at once, and what their cache takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.engines.device import GIB, Device, Gpu
from magpie_hub.engines.sizing import TURN_TOKENS, cache_bytes, cache_room, default_slots, is_short
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from tests.engines.test_device import A10, CPU, H200, LLAMA_8B, LLAMA_70B, SMALL, gpus

H100 = Gpu("NVIDIA H100", 80 * GIB)


@pytest.mark.parametrize(
    ("source", "device", "slots"),
    [
        (SMALL, CPU, 64),
        (SMALL, gpus(A10, 1), 1024),
        (LLAMA_8B, gpus(H200, 1), 512),
        (LLAMA_70B, gpus(H200, 2), 256),
    ],
)
def test_slots_follow_device_and_size(source: ModelSource, device: Device, slots: int) -> None:
    assert default_slots(source, EngineOptions(), device) == slots


def test_slots_are_no_more_than_the_cache_has_room_for() -> None:
    # 147 GiB can be used of two H100, 131 are weights and 4 workspace: 12 GiB at 320 KiB a token.
    tight = default_slots(LLAMA_70B, EngineOptions(), gpus(H100, 2))
    assert tight == 72
    assert default_slots(LLAMA_70B, EngineOptions(), gpus(H100, 2), 2 * TURN_TOKENS) == 32
    fp8 = EngineOptions(quantization="fp8")
    assert default_slots(LLAMA_70B, fp8, gpus(H100, 2)) == 256
    halved = EngineOptions(engine_args={"kv_cache_dtype": "fp8_e4m3"})
    assert default_slots(LLAMA_70B, halved, gpus(H100, 2)) == 144
    less = EngineOptions(gpu_memory_utilization=0.9)
    assert default_slots(LLAMA_70B, less, gpus(H100, 2)) < tight


@given(
    gib=st.floats(16, 200),
    count=st.sampled_from([1, 2, 4, 8]),
    row_tokens=st.integers(16, 8192),
    source=st.sampled_from([SMALL, LLAMA_8B, LLAMA_70B]),
)
def test_every_slot_has_its_row_in_the_cache(
    gib: float, count: int, row_tokens: int, source: ModelSource
) -> None:
    device = gpus(Gpu("some GPU", int(gib * GIB)), count)
    slots = default_slots(source, EngineOptions(), device, row_tokens)
    room = cache_room(source, EngineOptions(), device)
    assert room is not None
    assert slots == 1 or slots * row_tokens <= room
    assert 1 <= slots <= 1024
    assert slots < 8 or slots % 8 == 0


def test_a_model_of_unknown_size_gets_what_fills_a_gpu() -> None:
    unknown = ModelSource("a/b", "0" * 40, "hub")
    assert default_slots(unknown, EngineOptions(), gpus(H100, 1)) == 512
    assert cache_room(unknown, EngineOptions(), gpus(H100, 1)) is None


def test_a_step_has_a_token_for_every_slot() -> None:
    narrow = EngineOptions(engine_args={"max_num_batched_tokens": 300})
    assert default_slots(LLAMA_8B, narrow, gpus(H200, 1)) == 296


@pytest.mark.parametrize(
    ("rows", "row_tokens", "short"),
    [
        (None, 512, False),
        (16, 512, True),
        (390, 512, True),
        (400, 512, False),
        (200, 1024, False),
        (1900, 100, True),
    ],
)
def test_a_job_is_short_by_the_tokens_it_takes(
    rows: int | None, row_tokens: int, short: bool
) -> None:
    assert is_short(rows, row_tokens) is short


def test_the_cache_on_a_cpu_is_bounded_by_memory_and_holds_one_sequence() -> None:
    roomy = replace(CPU, free=1000 * GIB)
    wanted = cache_bytes(SMALL, EngineOptions(), roomy, 4, 4096)
    assert wanted == 4 * 2048 * 23040
    tight = replace(CPU, free=GIB // 4)
    bounded = cache_bytes(SMALL, EngineOptions(), tight, 64, 4096)
    assert 4096 * 23040 < bounded < GIB // 4
    double = cache_bytes(SMALL, EngineOptions(dtype="float32"), roomy, 4, 4096)
    assert double == 2 * wanted
