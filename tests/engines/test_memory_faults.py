"""Engines whose device runs out of memory while they work; the faults are injected."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace as Space
from typing import Any

import pytest

from magpie_hub.engines.base import Completion, EngineStats, Sampling
from magpie_hub.engines.transformers.engine import TransformersEngine
from magpie_hub.engines.vllm import inprocess as vllm_thread
from magpie_hub.engines.vllm.inprocess import OwnThread
from magpie_hub.errors import EngineError, OutOfMemory
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from tests.tiny import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    folder = write_tiny_model(tmp_path_factory.mktemp("tiny"))
    return ModelSource("tiny", "r", "local", path=folder)


REQUESTS = [
    (tuple(range(3, 5 + i)), Sampling(max_tokens=6 + i, temperature=0.8 * (i % 3 > 0), seed=i))
    for i in range(12)
]


def complete(
    source: ModelSource, mend: Callable[[TransformersEngine], None], slots: int = 8
) -> tuple[list[Completion | BaseException], list[str], TransformersEngine]:
    said: list[str] = []

    async def main() -> tuple[list[Completion | BaseException], TransformersEngine]:
        options = EngineOptions(max_num_seqs=slots, dtype="float32")
        engine = await TransformersEngine.start(source, options, say=said.append)
        mend(engine)
        made = await asyncio.gather(
            *(engine.generate(*request) for request in REQUESTS), return_exceptions=True
        )
        await engine.close()
        return made, engine

    made, engine = asyncio.run(main())
    return made, said, engine


def out_of_memory() -> Exception:
    import torch

    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def holds(most: int, error: Callable[[], Exception]) -> Callable[[TransformersEngine], None]:
    """A device on which a forward pass of more than `most` rows fails."""

    def mend(engine: TransformersEngine) -> None:
        model = engine._batch._model
        forward = model.forward

        def limited(*args: Any, **inputs: Any) -> Any:
            if len(inputs["input_ids"]) > most:
                raise error()
            return forward(*args, **inputs)

        model.forward = limited

    return mend


@pytest.mark.engine
@pytest.mark.parametrize(
    "error",
    [
        out_of_memory,
        lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    ],
)
def test_transformers_goes_on_with_half_the_rows_and_loses_none(
    tiny: ModelSource, error: Callable[[], Exception]
) -> None:
    want, quiet, _ = complete(tiny, lambda engine: None)
    assert quiet == []
    made, said, engine = complete(tiny, holds(3, error))
    assert made == want
    assert engine.info.slots in (2, 3)
    assert said
    assert all("out of memory with" in line and "\n" not in line for line in said)


@pytest.mark.engine
def test_running_out_in_the_middle_keeps_what_was_written(
    tiny: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The draw fails now and then, some of its numbers taken already: no sample changes."""
    import magpie_hub.engines.transformers.engine as module

    want, _, _ = complete(tiny, lambda engine: None)
    from magpie_hub.engines.transformers.sampling import draw_tokens

    calls = 0

    def fail_at_times(rows: Any, logits: Any) -> list[int]:
        nonlocal calls
        calls += 1
        if calls in (3, 7):
            for row in rows[:2]:
                row.uniform()
            raise out_of_memory()
        return draw_tokens(rows, logits)

    monkeypatch.setattr(module, "draw_tokens", fail_at_times)
    made, said, _ = complete(tiny, lambda engine: None)
    assert made == want
    assert len(said) == 2


@pytest.mark.engine
def test_a_single_row_that_does_not_fit_is_the_end(tiny: ModelSource) -> None:
    made, said, _ = complete(tiny, holds(0, out_of_memory))
    assert all(isinstance(one, EngineError) for one in made)
    assert not any(isinstance(one, OutOfMemory) for one in made), "fewer slots would not help"
    assert "single row" in str(made[0])
    assert "max_model_len" in str(made[0])
    assert len(said) == 3


class Core:
    """vLLM's LLMEngine, as far as the thread that drives it goes."""

    def __init__(self, error: Exception) -> None:
        self.vllm_config = Space()
        self._error = error
        self._requests = 0

    def has_unfinished_requests(self) -> bool:
        return self._requests > 0

    def add_request(self, *_: Any) -> None:
        self._requests += 1

    def step(self) -> list[Any]:
        raise self._error


def drive(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Core]) -> list[BaseException]:
    """Starts vLLM's thread on a core and asks it twice; returns what came of it."""

    async def main() -> list[BaseException]:
        try:
            core = await OwnThread.start(None, EngineStats(), None)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            return [error]
        first = await asyncio.gather(core.complete("1", None, None), return_exceptions=True)
        later = await asyncio.gather(core.complete("2", None, None), return_exceptions=True)
        await core.close()
        return [*first, *later]

    monkeypatch.setattr(vllm_thread, "_make_engine", lambda *_: make())
    monkeypatch.setattr(vllm_thread, "end_engine", lambda engine, **_: None)
    monkeypatch.setattr(vllm_thread, "groups_exist", lambda: False)
    return asyncio.run(main())


def test_a_step_of_vllm_that_runs_out_is_told_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, later = drive(monkeypatch, lambda: Core(out_of_memory()))
    assert isinstance(waiting, OutOfMemory)
    assert isinstance(later, OutOfMemory)
    assert str(waiting).startswith("vLLM stopped: CUDA out of memory")


def test_a_step_of_vllm_that_fails_otherwise_is_another_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting, later = drive(monkeypatch, lambda: Core(RuntimeError("a cable was pulled")))
    assert (type(waiting), type(later)) == (EngineError, EngineError)


def test_a_vllm_that_finds_no_memory_to_wake_up_in_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_room(engine: Any, asleep: bool) -> None:
        raise out_of_memory()

    monkeypatch.setattr(vllm_thread, "_make_engine", lambda *_: Core(out_of_memory()))
    monkeypatch.setattr(vllm_thread, "end_engine", lambda engine, **_: None)
    monkeypatch.setattr(vllm_thread, "groups_exist", lambda: False)
    monkeypatch.setattr(vllm_thread, "doze", no_room)

    async def main() -> None:
        core = await OwnThread.start(None, EngineStats(), None)
        try:
            await core.doze(False)
        finally:
            await core.close()

    with pytest.raises(OutOfMemory, match="does not sleep or wake"):
        asyncio.run(main())


def test_the_last_words_of_another_process_are_found() -> None:
    from magpie_hub.engines.vllm.subprocess import OwnProcess

    heard = deque(
        [
            "INFO loading",
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
            "Exception: WorkerProc failed due to an exception in a background process.",
        ]
    )

    class Dead:
        vllm_config = Space()
        errored = True

        async def generate(self, *_: Any) -> Any:
            raise RuntimeError("EngineCore encountered an issue.")
            yield

        def shutdown(self) -> None:
            pass

    async def main() -> Any:
        core = OwnProcess(Dead(), heard)
        done = await asyncio.gather(core.complete("1", None, None), return_exceptions=True)
        await core.close()
        return done[0]

    error = asyncio.run(main())
    assert isinstance(error, OutOfMemory)
    assert "Tried to allocate 2.00 GiB" in str(error)


def test_nothing_of_a_start_that_failed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    import gc
    import weakref

    class Weights:
        pass

    held: list[weakref.ref[Weights]] = []

    def make() -> Core:
        weights = Weights()
        held.append(weakref.ref(weights))
        raise out_of_memory()

    (error,) = drive(monkeypatch, make)
    gc.collect()
    assert "CUDA out of memory" in str(error)
    assert held[0]() is None, "though the error is still here"
