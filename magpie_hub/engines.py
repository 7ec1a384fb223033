"""The engines of one run: the generator is loaded at most once, other models one at a time.

While another model has the device, the generator rests: where it can give memory back without
losing its weights, it does, and wakes when it is asked for again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from magpie_hub.engine.base import Engine
from magpie_hub.engine.options import EngineOptions
from magpie_hub.models import ModelSource


class Engines:
    """Hands out the engines of a run; an async context manager that closes them.

    Args:
        source: The generator.
        options: How it is loaded.
        home: The folder of packaged models.
        say: Told what is going on, a line each.
        rows: About how many rows are to be generated.
        constrained: Whether the generator is to tag as well.
        shares: Whether other models will want the device.
        main_guarded: Whether the main module may be imported again without harm.
        started: Told of the generator's engine, once it runs.
    """

    def __init__(
        self,
        source: ModelSource,
        options: EngineOptions,
        home: Path,
        *,
        say: Callable[[str], None],
        rows: int,
        constrained: bool,
        shares: bool,
        main_guarded: bool,
        started: Callable[[Engine], None],
    ) -> None:
        self._source = source
        self._options = options
        self._home = home
        self._say = say
        self._rows = rows
        self._constrained = constrained
        self._shares = shares
        self._main_guarded = main_guarded
        self._started = started
        self._generator: Engine | None = None

    async def __aenter__(self) -> Engines:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._generator is not None:
            await self._generator.close()

    async def generator(self) -> Engine:
        """The generator, loaded when it is asked for the first time, and awake.

        Raises:
            UserError, EngineError: It does not start; see `start_engine`.
        """
        from magpie_hub.engine.choose import plan_engine, start_engine
        from magpie_hub.engine.device import find_device

        if self._generator is None:
            options = self._options
            if (
                self._shares
                and find_device().gpus
                and plan_engine(self._source, options).name == "vllm"
            ):
                sleepy = {"enable_sleep_mode": True, **options.engine_args}
                options = replace(options, engine_args=sleepy)
            self._generator = await start_engine(
                self._source,
                options,
                self._home,
                say=self._say,
                rows=self._rows,
                main_guarded=self._main_guarded,
                constrained=self._constrained,
            )
            self._started(self._generator)
        await self._generator.wake()
        return self._generator

    def beside(self, options: EngineOptions) -> EngineOptions:
        """Options of a model that is loaded beside the generator.

        One process holds one vLLM core, and a process of its own needs a main guard.
        """
        if self._generator is None or not self._generator.info.settings.get("in_process"):
            return options
        if self._main_guarded:
            return replace(options, in_process=False)
        return replace(options, engine="transformers")

    async def rest(self) -> None:
        """Lets the generator give back what it can of the device."""
        if self._generator is not None:
            await self._generator.rest()

    @asynccontextmanager
    async def other(
        self, source: ModelSource, options: EngineOptions, *, constrained: bool = False
    ) -> AsyncIterator[Engine]:
        """Another model's engine, while the generator rests.

        Raises:
            UserError, EngineError: It does not start; see `start_engine`.
        """
        from magpie_hub.engine.choose import start_engine

        await self.rest()
        engine = await start_engine(
            source,
            self.beside(options),
            self._home,
            say=self._say,
            rows=self._rows,
            main_guarded=self._main_guarded,
            constrained=constrained,
        )
        try:
            yield engine
        finally:
            await engine.close()
