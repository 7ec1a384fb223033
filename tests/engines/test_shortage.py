"""The device's memory runs out: how it is told, and what is tried then."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.engines.oom import failure, forget, is_shortage, start_with_less
from magpie_hub.errors import DeviceError, EngineError, OutOfMemory
from magpie_hub.recipe.engine import EngineOptions
from tests.engines.test_device import CPU, H200, gpus

CUDA = (
    "CUDA out of memory. Tried to allocate 1.74 GiB. GPU 0 has a total capacity of 23.57 GiB of "
    "which 605.88 MiB is free. Process 133288 has 22.97 GiB memory in use."
)
SAMPLER = (
    "CUDA out of memory occurred when warming up sampler with 1024 dummy requests. Please try "
    "lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine."
)
NO_BLOCKS = "No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"
NO_ROW = (
    "To serve at least one request with the model's max seq len (8192), (2.5 GiB KV cache is "
    "needed, which is larger than the available KV cache memory (1.2 GiB)."
)
CPU_CACHE = (
    "Available memory on node 0 (3.1/23.5 GiB) on kv cache allocation is less than requested "
    "memory for kv (5.2 GiB)."
)
CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9000000 bytes."
HELD = (
    "Free memory on device cuda:0 (10.1/79.1 GiB) on startup is less than desired GPU memory "
    "utilization (0.92, 72.8 GiB). Decrease GPU memory utilization."
)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(SAMPLER),
        ValueError(NO_BLOCKS),
        ValueError(NO_ROW),
        ValueError(CPU_CACHE),
        RuntimeError(CPU_ALLOCATOR),
        MemoryError(),
    ],
)
def test_what_torch_and_vllm_say_of_too_little_memory_is_known(error: Exception) -> None:
    assert is_shortage(error)
    assert isinstance(failure("vLLM stopped.", error), OutOfMemory)


def test_torch_says_it_by_a_class_of_its_own() -> None:
    import torch

    assert is_shortage(torch.OutOfMemoryError("no words for it"))


@pytest.mark.parametrize("text", ["an illegal memory access was encountered", HELD, "", "memory"])
def test_other_failures_are_not_taken_for_it(text: str) -> None:
    found = failure("vLLM stopped.", RuntimeError(text))
    assert not isinstance(found, OutOfMemory)
    assert str(found) == "vLLM stopped."


def test_it_is_known_behind_other_errors() -> None:
    dead = ValueError("the engine is dead")
    dead.__cause__ = RuntimeError("a worker died")
    assert not is_shortage(dead)
    dead.__cause__.__context__ = RuntimeError(CUDA)
    assert is_shortage(dead)


def test_it_is_known_from_the_log_of_another_process() -> None:
    dead = RuntimeError("Engine core initialization failed.")
    said = f"torch.OutOfMemoryError: {CUDA}\nRuntimeError: a worker died"
    assert isinstance(failure("vLLM did not start.", dead, said), OutOfMemory)
    assert not isinstance(failure("vLLM did not start.", dead, "OSError: no file"), OutOfMemory)


def test_weights_that_do_not_fit_are_told_apart() -> None:
    def load_model() -> None:
        raise RuntimeError(CUDA)

    try:
        load_model()
    except RuntimeError as error:
        found = failure("vLLM did not start.", error)
    assert isinstance(found, OutOfMemory)
    assert found.in_weights
    logged = failure("", RuntimeError("died"), f"Failed to load model - original error: {CUDA}")
    assert isinstance(logged, OutOfMemory)
    assert logged.in_weights
    other = failure("", RuntimeError(CUDA))
    assert isinstance(other, OutOfMemory)
    assert not other.in_weights


def test_what_an_error_holds_is_let_go() -> None:
    class Weights:
        pass

    def load() -> None:
        weights = Weights()
        held.append(weakref.ref(weights))
        raise RuntimeError(CUDA)

    held: list[weakref.ref[Weights]] = []
    kept = []
    try:
        load()
    except RuntimeError as error:
        kept.append(error)
    gc.collect()
    assert held[0]() is not None, "the error's frames hold them"
    forget(kept[0])
    assert held[0]() is None


class Machine:
    """A stand-in for vLLM that starts once it is asked for little enough."""

    def __init__(self, slots: int, tokens: int = 10**6, error: EngineError | None = None) -> None:
        self._slots, self._tokens = slots, tokens
        self._error = error or OutOfMemory(f"vLLM did not start: {CUDA}")
        self.asked: list[tuple[int | None, Any]] = []

    async def start(self, options: EngineOptions) -> str:
        tokens = options.engine_args.get("max_num_batched_tokens")
        self.asked.append((options.max_num_seqs, tokens))
        assert options.max_num_seqs
        if options.max_num_seqs > self._slots or (tokens or 16384) > self._tokens:
            raise self._error
        return "running"


def start(
    machine: Machine, options: EngineOptions, device: Any = None
) -> tuple[str | Exception, list[str]]:
    said: list[str] = []

    async def main() -> str:
        where = device or gpus(H200, 1)
        return await start_with_less(machine.start, options, "a/b", where, say=said.append)

    try:
        return asyncio.run(main()), said
    except EngineError as error:
        return error, said
    except DeviceError as error:
        return error, said


def test_enough_memory_is_started_once_and_says_nothing() -> None:
    machine = Machine(256)
    assert start(machine, EngineOptions(max_num_seqs=256)) == ("running", [])
    assert machine.asked == [(256, None)]


def test_slots_are_halved_first_and_then_tokens_too() -> None:
    machine = Machine(slots=256, tokens=2048)
    outcome, said = start(machine, EngineOptions(max_num_seqs=256))
    assert outcome == "running"
    assert machine.asked == [(256, None), (128, None), (64, 4096), (32, 2048)]
    assert [line.split(";")[1] for line in said] == [
        " starting again with 128 slots",
        " starting again with 64 slots and 4,096 tokens a step",
        " starting again with 32 slots and 2,048 tokens a step",
    ]
    assert all("\n" not in line and "CUDA out of memory" in line for line in said)


def test_it_is_given_up_with_what_was_tried_and_the_way_out() -> None:
    machine = Machine(slots=1)
    outcome, said = start(machine, EngineOptions(max_num_seqs=1024))
    assert isinstance(outcome, DeviceError)
    assert len(machine.asked) == 4
    assert len(said) == 3
    line = str(outcome)
    assert "\n" not in line
    for part in (
        "a/b",
        "1 x NVIDIA H200",
        "1,024 slots, 512 slots, 256 slots and 4,096",
        CUDA[:18],
    ):
        assert part in line
    assert "tensor_parallel_size" in line


def test_a_cpu_is_not_told_of_gpus() -> None:
    outcome, _ = start(
        Machine(slots=0, error=OutOfMemory(f"vLLM did not start: {CPU_ALLOCATOR}")),
        EngineOptions(max_num_seqs=1),
        CPU,
    )
    assert isinstance(outcome, DeviceError)
    assert "GPU" not in str(outcome)
    assert "gpu" not in str(outcome)


def test_fewer_slots_are_not_tried_where_the_weights_do_not_fit() -> None:
    machine = Machine(0, error=OutOfMemory(f"vLLM did not start: {CUDA}", in_weights=True))
    outcome, said = start(machine, EngineOptions(max_num_seqs=256))
    assert isinstance(outcome, DeviceError)
    assert "weights alone" in str(outcome)
    assert (len(machine.asked), said) == (1, [])


def test_another_failure_is_not_tried_again() -> None:
    machine = Machine(0, error=EngineError("vLLM did not start: no such kernel"))
    outcome, said = start(machine, EngineOptions(max_num_seqs=256))
    assert str(outcome) == "vLLM did not start: no such kernel"
    assert (len(machine.asked), said) == (1, [])


def test_memory_that_does_not_come_back_is_named() -> None:
    class Leaky(Machine):
        async def start(self, options: EngineOptions) -> str:
            if self.asked:
                raise EngineError(f"vLLM did not start: {HELD}")
            return await super().start(options)

    outcome, _ = start(Leaky(1), EngineOptions(max_num_seqs=256))
    assert isinstance(outcome, EngineError)
    assert "was not released" in str(outcome)
    assert "max_num_seqs: 128" in str(outcome)


@given(
    slots=st.integers(1, 2048),
    fits=st.integers(1, 2048),
    tokens=st.one_of(st.none(), st.integers(2048, 40000)),
)
def test_every_start_asks_for_less_and_for_a_token_a_slot(
    slots: int, fits: int, tokens: int | None
) -> None:
    arguments: dict[str, Any] = {} if tokens is None else {"max_num_batched_tokens": tokens}
    machine = Machine(fits)
    options = EngineOptions(max_num_seqs=slots, engine_args=arguments)
    with pytest.MonkeyPatch.context() as patch:
        # Collecting takes a second in a process full of libraries; other tests hold it to freeing.
        patch.setattr(gc, "collect", lambda: 0)
        outcome, said = start(machine, options)
    asked = [seqs for seqs, _ in machine.asked]
    assert asked == [slots >> n for n in range(len(asked))]
    assert len(asked) <= 4
    assert len(said) == len(asked) - 1
    assert (outcome == "running") == (asked[-1] is not None and asked[-1] <= fits)
    given = [many for _, many in machine.asked if many is not None]
    assert given == sorted(given, reverse=True)
    assert all(many >= (seqs or 0) for seqs, many in machine.asked if many is not None)
