"""vLLM's core in a process of its own, or in several for copies of the model.

What those processes print goes to the logger "vllm.core", and none of it to the terminal.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from magpie_hub.engines.base import EngineStats
from magpie_hub.engines.oom import failure, names_shortage
from magpie_hub.engines.vllm.inprocess import doze
from magpie_hub.engines.vllm.stats import keep_only, step_counter
from magpie_hub.errors import EngineError


class OwnProcess:
    """Drives vLLM's AsyncLLM, whose core runs in one process or, for copies, in several.

    Attributes:
        config: vLLM's own VllmConfig.
    """

    def __init__(self, engine: Any, heard: deque[str]) -> None:
        self.config: Any = engine.vllm_config
        self._engine: Any = engine
        self._heard = heard
        self._pending: set[asyncio.Task[Any]] = set()

    @classmethod
    async def start(cls, engine_args: Any, stats: EngineStats) -> OwnProcess:
        """Starts the process and waits until the model is loaded in it.

        Args:
            engine_args: vLLM's AsyncEngineArgs.
            stats: Kept current from here on.
        """
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        counter = step_counter(stats)
        heard: deque[str] = deque(maxlen=200)
        try:
            with _output_to_log(heard):
                # Not in a thread: its sockets belong to the event loop that opens them. The context
                # picks vLLM's own defaults for offline work: larger batches of prompt tokens.
                engine = AsyncLLM.from_engine_args(
                    engine_args, usage_context=UsageContext.LLM_CLASS, stat_loggers=[counter]
                )
        except Exception as error:
            text = f"vLLM did not start: {_cause(heard, error)}"
            raise failure(text, error, _errors(heard)) from error
        keep_only(counter, engine)
        core = cls(engine, heard)
        atexit.register(core._stop)
        return core

    async def complete(self, key: str, prompt: Any, params: Any) -> Any:
        """Returns vLLM's final RequestOutput; cancelling it aborts the request."""
        if self._engine is None:
            raise EngineError("vLLM is not running: it was closed.")
        task = asyncio.create_task(_final_output(self._engine, key, prompt, params))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._engine is None and caller is not None and not caller.cancelling():
                raise EngineError("vLLM stopped: it was closed.") from None
            raise
        except Exception as error:
            if self._engine is None or self._engine.errored:
                text = f"vLLM stopped: {_cause(self._heard, error)}"
                raise failure(text, error, _errors(self._heard)) from error
            raise EngineError(f"vLLM refuses the request: {error}") from error

    async def doze(self, asleep: bool) -> None:
        """Puts vLLM to sleep, or wakes it; no request may be running."""
        if self._engine is None:
            raise EngineError("vLLM is not running: it was closed.")
        try:
            await doze(self._engine, asleep)
        except Exception as error:
            text = f"vLLM does not sleep or wake: {_cause(self._heard, error)}"
            raise failure(text, error, _errors(self._heard)) from error

    async def close(self) -> None:
        """Ends the core; requests that wait fail. Twice is harmless."""
        engine, self._engine = self._engine, None
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
        self._engine = engine
        self._stop()
        atexit.unregister(self._stop)
        await asyncio.sleep(0)  # lets vLLM's own task take note of its cancellation

    def _stop(self) -> None:
        # vLLM's own finalizer would run in a dismantled interpreter, and complain.
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.shutdown()


async def _final_output(engine: Any, key: str, prompt: Any, params: Any) -> Any:
    final = None
    async for output in engine.generate(prompt, params, key):
        final = output
    return final


def _cause(heard: deque[str], error: BaseException) -> str:
    """Returns what went wrong in the core's process, where vLLM only says that something did.

    Several processes may have spoken, the last of them only of another one's failure.
    """
    said = _errors(heard).splitlines()
    short = [line for line in said if names_shortage(line)]
    return (short or said)[-1].strip() if said else str(error)


def _errors(heard: deque[str]) -> str:
    """The lines that name an error, as they came."""
    naming = r"\b\w*(Error|Exception): |Failed to load model"
    return "\n".join(line for line in heard if re.search(naming, line))


@contextlib.contextmanager
def _output_to_log(heard: deque[str]) -> Iterator[None]:
    """Sends what vLLM's processes started meanwhile will ever print to the logger "vllm.core".

    They write into a pipe of ours in place of their own stdout and stderr; this process keeps its
    descriptors. The last lines are also kept in `heard`.
    """
    logger = logging.getLogger("vllm.core")
    reader, writer = Pipe(duplex=False)

    def forward() -> None:
        with reader, open(reader.fileno(), encoding="utf-8", errors="replace", closefd=False) as f:
            for line in f:
                heard.append(line.rstrip())
                logger.info("%s", line.rstrip())

    thread = threading.Thread(target=forward, name="magpie-vllm-output", daemon=True)
    thread.start()
    with contextlib.ExitStack() as stack:
        for module, owner, name in _MAINS:
            with contextlib.suppress(ImportError):
                holder = getattr(importlib.import_module(module), owner, None)
                main = getattr(holder, name, None)
                if main is not None:
                    wrapped = partial(_logged_main, _Output(writer), module, owner, name)
                    setattr(holder, name, staticmethod(wrapped))
                    stack.callback(setattr, holder, name, staticmethod(main))
        yield
    writer.close()
    # If nothing was started, or it died, this is the end of the output; else it goes on.
    thread.join(timeout=0.5)


_MAINS = (
    ("vllm.v1.engine.core", "EngineCoreProc", "run_engine_core"),
    ("vllm.v1.engine.coordinator", "DPCoordinatorProc", "run_coordinator"),
)
"""Main functions of the processes that vLLM starts: module, class and static method."""


class _Output:
    """A pipe that takes the place of stdout and stderr in the process that it is sent to."""

    def __init__(self, writer: Connection) -> None:
        self._writer = writer

    def __reduce__(self) -> tuple[Any, ...]:
        return _take_output, (self._writer,)


def _take_output(writer: Connection) -> None:
    # When it is unpickled: before the arguments beside it, for which vLLM is imported.
    for descriptor in (1, 2):
        os.dup2(writer.fileno(), descriptor)
    writer.close()


def _logged_main(_: Any, module: str, owner: str, name: str, *args: Any, **kwargs: Any) -> None:
    """Runs one of `_MAINS` in a new process; spawned, it finds vLLM's own method by that name."""
    getattr(getattr(importlib.import_module(module), owner), name)(*args, **kwargs)
