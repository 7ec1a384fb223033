"""What fits on a device, worked out before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.engines.device import (
    GIB,
    Device,
    Gpu,
    check_fit,
    default_context,
    find_device,
    gpus_per_copy,
    needed_bytes,
    settle_dtype,
    threads,
    usable_bytes,
    weight_bytes,
)
from magpie_hub.errors import DeviceError
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions

CPU = Device("cpu", (), memory=32 * GIB, free=24 * GIB, cores=8)
H200 = Gpu("NVIDIA H200", 139 * GIB)
A10 = Gpu("NVIDIA A10", 22 * GIB)

SMALL = ModelSource(
    "a/small",
    "0" * 40,
    "hub",
    path=Path("/models/small"),
    parameters=134_515_008,
    context_length=8192,
    kv_bytes_per_token=23040,
)
LLAMA_8B = ModelSource(
    name="meta-llama/Meta-Llama-3-8B-Instruct",
    revision="0" * 40,
    kind="hub",
    weight_bytes=16_060_556_376,
    parameters=8_030_261_248,
    context_length=8192,
    kv_bytes_per_token=2 * 32 * 8 * 128 * 2,
)
LLAMA_70B = ModelSource(
    name="meta-llama/Meta-Llama-3-70B-Instruct",
    revision="0" * 40,
    kind="hub",
    weight_bytes=141_107_497_872,
    parameters=70_553_706_496,
    context_length=8192,
    kv_bytes_per_token=2 * 80 * 8 * 128 * 2,
)


def gpus(gpu: Gpu, count: int) -> Device:
    return Device("cuda", (gpu,) * count, memory=512 * GIB, free=400 * GIB, cores=64)


def test_this_machine_has_memory_and_cores() -> None:
    device = find_device()
    assert 0 < device.free <= device.memory
    assert device.cores >= 1
    assert device.label


@pytest.mark.parametrize(("said", "expected"), [(None, 8), ("3", 3), ("4,2", 4), ("", 8), ("0", 8)])
def test_a_cpu_computes_with_its_cores_or_as_many_threads_as_are_said(
    monkeypatch: pytest.MonkeyPatch, said: str | None, expected: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads(CPU) == expected


def test_weights_count_in_the_dtype_that_runs() -> None:
    stored = weight_bytes(LLAMA_8B, EngineOptions())
    assert stored == 2 * LLAMA_8B.parameters
    assert weight_bytes(LLAMA_8B, EngineOptions(dtype="float32")) == 2 * stored
    assert weight_bytes(LLAMA_8B, EngineOptions(quantization="fp8")) < 0.55 * stored


def test_a_quantized_checkpoint_counts_as_it_is_stored() -> None:
    awq = ModelSource(
        "a/b-awq", "0" * 40, "hub", weight_bytes=5 * GIB, parameters=2 * 10**9, quantization="awq"
    )
    assert weight_bytes(awq, EngineOptions()) == 5 * GIB


def test_a_model_of_unknown_size_is_not_refused() -> None:
    unknown = ModelSource("a/b", "0" * 40, "hub")
    assert needed_bytes(unknown, EngineOptions(), CPU) is None
    check_fit(unknown, EngineOptions(), CPU)


@pytest.mark.parametrize(
    ("source", "device", "expected"),
    [
        (LLAMA_8B, CPU, 1),
        (LLAMA_8B, gpus(H200, 8), 1),
        (LLAMA_8B, gpus(A10, 4), 2),
        (LLAMA_70B, gpus(H200, 8), 2),
        (LLAMA_70B, gpus(A10, 8), 8),
    ],
)
def test_a_model_is_spread_over_the_fewest_gpus_that_hold_it(
    source: ModelSource, device: Device, expected: int
) -> None:
    assert gpus_per_copy(source, EngineOptions(), device) == expected


def test_copies_share_the_gpus() -> None:
    assert gpus_per_copy(LLAMA_70B, EngineOptions(data_parallel_size=8), gpus(H200, 8)) == 1


def test_what_the_person_says_is_what_it_is_spread_over() -> None:
    assert gpus_per_copy(LLAMA_8B, EngineOptions(tensor_parallel_size=4), gpus(H200, 8)) == 4


def test_a_model_too_large_is_refused_in_one_line() -> None:
    with pytest.raises(DeviceError) as refused:
        check_fit(LLAMA_70B, EngineOptions(), gpus(H200, 1))
    line = str(refused.value)
    assert "\n" not in line
    for part in (LLAMA_70B.name, "needs about 143 GiB", "128 GiB", "1 x NVIDIA H200", "fp8"):
        assert part in line


def test_fp8_puts_the_70b_model_on_one_h200() -> None:
    check_fit(LLAMA_70B, EngineOptions(quantization="fp8"), gpus(H200, 1))


def test_more_gpus_are_proposed_where_there_are_some() -> None:
    with pytest.raises(DeviceError, match="tensor_parallel_size above 1"):
        check_fit(LLAMA_70B, EngineOptions(tensor_parallel_size=1), gpus(H200, 2))


def test_a_cpu_is_not_told_of_gpus() -> None:
    with pytest.raises(DeviceError) as refused:
        check_fit(LLAMA_70B, EngineOptions(), CPU)
    assert "fp8" not in str(refused.value)
    assert "base_url" in str(refused.value)


@given(gib=st.integers(1, 400), count=st.sampled_from([1, 2, 3, 4, 6, 8]))
def test_the_spread_is_a_power_of_two_that_exists(gib: int, count: int) -> None:
    source = ModelSource("a/b", "0" * 40, "hub", weight_bytes=gib * GIB)
    device = gpus(A10, count)
    used = gpus_per_copy(source, EngineOptions(), device)
    assert used & (used - 1) == 0
    assert used <= count
    half = used // 2
    if half:
        assert needed_bytes(source, EngineOptions(), device, half) > usable_bytes(
            EngineOptions(), device, half
        )


def test_the_context_is_the_models_within_reason() -> None:
    long = ModelSource("a/b", "0" * 40, "hub", context_length=131072)
    assert default_context(long, CPU) == 4096
    assert default_context(long, gpus(H200, 1)) == 8192
    assert default_context(ModelSource("a/b", "0" * 40, "hub", context_length=2048), CPU) == 2048
    assert default_context(ModelSource("a/b", "0" * 40, "hub"), CPU) == 4096


def test_nothing_heavy_is_imported_to_plan(tmp_path: Path) -> None:
    program = (
        "import sys, magpie_hub.models.source, magpie_hub.engines.factory\n"
        "import magpie_hub.engines.vllm.engine\n"
        "heavy = {'torch', 'transformers', 'vllm', 'huggingface_hub', 'psutil', 'openai'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("machine", "capability", "dtype"),
    [
        ("x86_64", "AVX2", "float32"),
        ("AMD64", "DEFAULT", "float32"),
        ("x86_64", "AVX512", "auto"),
        ("aarch64", "DEFAULT", "auto"),
    ],
)
def test_a_cpu_without_16_bit_arithmetic_computes_in_32(
    monkeypatch: pytest.MonkeyPatch, machine: str, capability: str, dtype: str
) -> None:
    import torch

    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    small = replace(LLAMA_8B, weight_bytes=270_000_000, parameters=135_000_000)
    assert settle_dtype(small, EngineOptions(), CPU).dtype == dtype
    assert settle_dtype(small, EngineOptions(dtype="bfloat16"), CPU).dtype == "bfloat16"
    assert settle_dtype(small, EngineOptions(), gpus(A10, 1)).dtype == "auto"
    assert settle_dtype(LLAMA_8B, EngineOptions(), CPU).dtype == "auto", "32 GB are not there"
