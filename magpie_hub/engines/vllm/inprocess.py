"""vLLM's core in this process, driven by a thread of ours.

One thread owns it: it takes requests from a queue, steps while there is work, sleeps when there is
none, and hands results to the callers' event loops, one call per step and loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import threading
from collections import defaultdict
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from magpie_hub.engines.base import EngineStats
from magpie_hub.engines.oom import failure, forget
from magpie_hub.engines.vllm.stats import keep_only, step_counter
from magpie_hub.errors import EngineError

CLOSE_SECONDS = 60.0
"""How long a step may take before close() gives the thread up."""


@dataclass(slots=True, eq=False)
class _Request:
    key: str
    prompt: Any
    params: Any
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Abort:
    key: str


@dataclass(frozen=True, slots=True, eq=False)
class _Doze:
    asleep: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class OwnThread:
    """Drives vLLM's LLMEngine, its core in this process, from one thread.

    Attributes:
        config: vLLM's own VllmConfig.
    """

    def __init__(self, stats: EngineStats) -> None:
        self.config: Any = None
        self._stats = stats
        self._inbox: SimpleQueue[_Request | _Abort | _Doze | None] = SimpleQueue()
        self._waiting: dict[str, _Request] = {}
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        # Guards the moment of death: a request is either answered by it, or refused after it.
        self._lock = threading.Lock()

    @classmethod
    async def start(cls, engine_args: Any, stats: EngineStats, threads: int | None) -> OwnThread:
        """Starts the thread and waits until the model is loaded in it.

        Args:
            engine_args: vLLM's EngineArgs.
            stats: Kept current from here on.
            threads: Threads that torch may use on a CPU; None leaves that to vLLM.
        """
        core = cls(stats)
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        core._thread = threading.Thread(
            target=core._run,
            args=(engine_args, threads, loop, ready),
            name="magpie-vllm",
            daemon=True,
        )
        # Left running at exit, the thread would step into a dismantled interpreter.
        atexit.register(core._stop)
        core._thread.start()
        try:
            await ready
        except asyncio.CancelledError:
            core._inbox.put(None)  # given up while it still loads: it ends when it has loaded
            raise
        except BaseException:
            await core.close()
            raise
        return core

    async def complete(self, key: str, prompt: Any, params: Any) -> Any:
        """Returns vLLM's final RequestOutput; cancelling it aborts the request."""
        loop = asyncio.get_running_loop()
        request = _Request(key, prompt, params, loop, loop.create_future())
        with self._lock:
            if self._error is not None:
                raise failure(f"vLLM is not running: {self._error}", self._error)
            self._inbox.put(request)
        try:
            return await request.future
        except asyncio.CancelledError:
            self._inbox.put(_Abort(key))
            raise

    async def doze(self, asleep: bool) -> None:
        """Puts vLLM to sleep, or wakes it; no request may be running."""
        loop = asyncio.get_running_loop()
        message = _Doze(asleep, loop, loop.create_future())
        with self._lock:
            if self._error is not None:
                raise failure(f"vLLM is not running: {self._error}", self._error)
            self._inbox.put(message)
        await message.future

    async def close(self) -> None:
        """Ends the core; twice is harmless."""
        await asyncio.to_thread(self._stop)
        atexit.unregister(self._stop)

    def _stop(self) -> None:
        self._inbox.put(None)
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _run(
        self,
        engine_args: Any,
        threads: int | None,
        loop: asyncio.AbstractEventLoop,
        ready: asyncio.Future[None],
    ) -> None:
        import torch

        engine = None
        shared = groups_exist()
        set_num_threads = torch.set_num_threads
        try:
            if threads:
                torch.set_num_threads(threads)  # holds for the thread that calls it
            engine = _make_engine(engine_args, self._stats)
            self.config = engine.vllm_config
        except BaseException as error:  # noqa: BLE001 - it is handed to the caller of `start`
            self._die(error)
            forget(error)
            _call(loop, _settle, [(ready, error)])
        else:
            _call(loop, _settle, [(ready, None)])
            try:
                self._serve(engine)
                self._die(EngineError("it was closed."))
            except BaseException as error:  # noqa: BLE001 - it is handed to every caller
                self._die(error)
                forget(error)
        end_engine(engine, keep_groups=shared)
        # On a CPU, vLLM puts a function in its place that does nothing.
        torch.set_num_threads = set_num_threads
        del engine
        gc.collect()

    def _serve(self, engine: Any) -> None:
        """Steps while there is work; returns when told to stop."""
        while True:
            busy = engine.has_unfinished_requests()
            if not busy:
                self._stats.running = 0
            try:
                message = self._inbox.get(block=not busy)
                while True:
                    if message is None:
                        return
                    self._take(engine, message)
                    message = self._inbox.get_nowait()
            except Empty:
                pass
            if engine.has_unfinished_requests():
                self._answer([(out.request_id, out) for out in engine.step() if out.finished])

    def _take(self, engine: Any, message: _Request | _Abort | _Doze) -> None:
        if isinstance(message, _Doze):
            outcome: BaseException | None = None
            try:
                doze(engine, message.asleep)
            except Exception as error:  # noqa: BLE001 - it is handed to the caller
                outcome = failure(f"vLLM does not sleep or wake: {error}", error)
            _call(message.loop, _settle, [(message.future, outcome)])
            return
        if isinstance(message, _Abort):
            if self._waiting.pop(message.key, None):
                engine.abort_request([message.key])
            return
        if message.future.cancelled():
            return
        self._waiting[message.key] = message
        try:
            engine.add_request(message.key, message.prompt, message.params)
        except Exception as error:  # noqa: BLE001 - it is handed to the caller
            # vLLM checks a request before it takes it in: this one is refused, the rest go on.
            refused = EngineError(f"vLLM refuses the request: {error}")
            refused.__cause__ = error
            self._answer([(message.key, refused)])

    def _answer(self, answers: list[tuple[str, Any]]) -> None:
        by_loop = defaultdict(list)
        for key, value in answers:
            if request := self._waiting.pop(key, None):
                by_loop[request.loop].append((request.future, value))
        for loop, settled in by_loop.items():
            _call(loop, _settle, settled)

    def _die(self, error: BaseException) -> None:
        """Fails the requests that wait, and those to come."""
        with self._lock:
            self._error = error
            while True:
                try:
                    message = self._inbox.get_nowait()
                except Empty:
                    break
                if isinstance(message, _Request):
                    self._waiting[message.key] = message
                elif isinstance(message, _Doze):
                    stopped = EngineError(f"vLLM stopped: {error}")
                    _call(message.loop, _settle, [(message.future, stopped)])
        answers: list[tuple[str, Any]] = []
        for key in self._waiting:
            answers.append((key, failure(f"vLLM stopped: {error}", error)))
        self._answer(answers)
        self._stats.running = 0


def _make_engine(engine_args: Any, stats: EngineStats) -> Any:
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.llm_engine import LLMEngine

    counter = step_counter(stats)
    # The context picks vLLM's own defaults for offline work: larger batches of prompt tokens.
    engine = LLMEngine.from_engine_args(
        engine_args, usage_context=UsageContext.LLM_CLASS, stat_loggers=[counter]
    )
    keep_only(counter, engine)
    return engine


def doze(engine: Any, asleep: bool) -> Any:
    """Calls what vLLM's engines call sleeping: level 1 keeps the weights in the host's memory."""
    return engine.sleep(level=1) if asleep else engine.wake_up()


def groups_exist() -> bool:
    """Whether an engine of this process has vLLM's process groups, which a second one shares."""
    from vllm.distributed import parallel_state

    return bool(parallel_state.model_parallel_is_initialized())


def end_engine(engine: Any, *, keep_groups: bool = False) -> None:
    """Frees what an in-process engine holds, so that another may start after it.

    The threads of torch.distributed would abort the interpreter at its exit, so one that died half
    way is cleaned up too.

    Args:
        engine: The engine; None if its start failed.
        keep_groups: Whether another engine of this process runs on the process groups.
    """
    with contextlib.suppress(Exception):
        engine.renderer.shutdown()
    with contextlib.suppress(Exception):
        engine.engine_core.shutdown()
    if keep_groups:
        return
    with contextlib.suppress(Exception):
        from vllm.distributed import cleanup_dist_env_and_memory

        cleanup_dist_env_and_memory()


def _settle(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, value in answers:
        if future.done():
            continue
        if isinstance(value, BaseException):
            future.set_exception(value)
        else:
            future.set_result(value)


def _call(loop: asyncio.AbstractEventLoop, function: Any, *args: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed: no caller waits in it any more
        loop.call_soon_threadsafe(function, *args)
