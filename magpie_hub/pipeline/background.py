"""Runs work on its own thread, so that a plain iterator or a command can follow it.

Callers may have an event loop already (a notebook has), so the work gets its own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from magpie_hub.chat.trial import give_up
from magpie_hub.generate.scheduler import Progress, Watcher

Done = TypeVar("Done")


class Background(Generic[Done]):
    """Runs a coroutine in the background; a context manager that never leaves it running behind.

    Args:
        work: Makes the coroutine; it is given what shows its progress. Runs on the thread.
    """

    def __init__(self, work: Callable[[Watcher], Coroutine[Any, Any, Done]]) -> None:
        self._work = work
        self._news: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._done: Done | None = None
        self._cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Done] | None = None
        self._thread = threading.Thread(target=self._main, name="magpie-run", daemon=True)

    def __enter__(self) -> Self:
        # A streaming iterator may be dropped half-way; the interpreter must not end while an
        # engine runs.
        atexit.register(self.stop)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        atexit.unregister(self.stop)

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised in `updates`
            self._error = error
        finally:
            self._news.put(None)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._work(self._news.put))
        if self._cancelled:
            self._task.cancel()
        self._done = await self._task

    def updates(self, timeout: float | None = None) -> Iterator[Progress | None]:
        """Follows the work.

        Args:
            timeout: Seconds after which None is yielded if there is no news.

        Yields:
            The work's progress, whenever the work reports it; ends with the work.

        Raises:
            MagpieError: The work failed.
        """
        while True:
            try:
                news = self._news.get(timeout=timeout)
            except queue.Empty:
                yield None
                continue
            if news is None:
                break
            yield news
        if self._error is not None:
            raise self._error

    def follow(self, watch: Watcher | None) -> Done:
        """Shows the work to its end; work that is ended by an error shows its last news too.

        Returns:
            What the coroutine returned.

        Raises:
            MagpieError: See `updates`.
        """
        try:
            for progress in self.updates():
                if watch is not None and progress is not None:
                    watch(progress)
        finally:
            self.stop()
            while not self._news.empty():
                last = self._news.get()
                if watch is not None and last is not None:
                    watch(last)
        return cast(Done, self._done)

    def stop(self) -> None:
        """Ends the work and waits until it has closed what it opened."""
        self._cancelled = True
        if self._thread.is_alive() and self._loop is not None and self._task is not None:
            # The loop may have ended by itself a moment ago.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread.is_alive():
            # The one thing that is waited for without the loop.
            give_up()
            self._thread.join()
