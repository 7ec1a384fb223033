"""The engines of one run: the generator is loaded at most once, other models one at a time.

While another model has the device, the generator rests: where it can give memory back without
losing its weights, it does, and wakes when it is asked for again.

An engine whose device ran out of memory in the middle of its work is gone, with the requests that
were in flight. The caller calls `back_off` and goes on: the next engine of that model
has half the slots.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from magpie_hub.engines.base import Engine
from magpie_hub.engines.oom import Ladder, brief
from magpie_hub.engines.registry import local_backends
from magpie_hub.engines.sizing import TURN_TOKENS
from magpie_hub.errors import EngineError, OutOfMemory
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions


class EnginePool:
    """Hands out the engines of a run; an async context manager that closes them.

    Args:
        source: The generator.
        options: How it is loaded.
        home: The folder of packaged models.
        say: Takes lines for the user.
        rows: About how many rows are to be generated.
        row_tokens: Tokens that a row has when it is finished, on average.
        constrained: Whether the generator is to tag as well.
        shares: Whether other models will want the device.
        main_guarded: Whether the main module may be imported again without harm.
        started: Takes the generator's engine when it has started.
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
        row_tokens: int = TURN_TOKENS,
    ) -> None:
        self._source = source
        self._options = options
        self._home = home
        self._say = say
        self._rows = rows
        self._row_tokens = row_tokens
        self._constrained = constrained
        self._shares = shares
        self._main_guarded = main_guarded
        self._started = started
        self._generator: Engine | None = None
        # By model, where memory ran out while it worked.
        self._left: dict[ModelSource, Ladder] = {}
        self._other_ran_out = False

    async def __aenter__(self) -> EnginePool:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._generator is not None:
            await self._generator.close()

    async def generator(self) -> Engine:
        """The generator, loaded when it is asked for the first time, and awake.

        Raises:
            UserError, EngineError: It does not start; see `start_engine`.
        """
        from magpie_hub.engines.device import find_device
        from magpie_hub.engines.factory import plan_engine

        if self._generator is None:
            options = self._options
            if self._shares and find_device().gpus:
                sleepy = {
                    **plan_engine(self._source, options).backend.sleeps,
                    **options.engine_args,
                }
                options = options.model_copy(update={"engine_args": sleepy})
            self._generator = await self._start(self._source, options, self._constrained)
            self._started(self._generator)
        await self._generator.wake()
        return self._generator

    async def back_off(self, error: OutOfMemory) -> None:
        """Ends the engine that ran out of memory; the next one of its model has half the slots.

        Args:
            error: What the engine's caller got.

        Raises:
            EngineError: Its slots were halved several times already, or cannot be.
        """
        if self._other_ran_out:
            # `other` has closed it.
            self._other_ran_out = False
            return
        if self._generator is None:
            raise error
        engine, self._generator = self._generator, None
        await engine.close()
        self._halve(self._source, engine, self._options, error)

    def beside(self, options: EngineOptions) -> EngineOptions:
        """Options of a model that is loaded beside the generator.

        One process holds one vLLM core, and a process of its own needs a main guard.
        """
        if self._generator is None or not self._generator.info.settings.get("in_process"):
            return options
        if self._main_guarded:
            return options.model_copy(update={"in_process": False})
        others = (one.name for one in local_backends() if not one.one_a_process)
        return options.model_copy(update={"engine": next(others)})

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
            OutOfMemory: From the caller's work with it; see `back_off`.
        """
        await self.rest()
        engine = await self._start(source, self.beside(options), constrained)
        try:
            yield engine
        except OutOfMemory as error:
            self._halve(source, engine, options, error)
            self._other_ran_out = True
            raise
        finally:
            await engine.close()

    def _halve(
        self, source: ModelSource, engine: Engine, options: EngineOptions, error: OutOfMemory
    ) -> None:
        """Notes what is left to a model whose engine has run out of memory, and says so."""
        left = self._left.setdefault(source, Ladder())
        slots = engine.info.slots // options.data_parallel_size
        said = brief(error)
        if not left.step_down(slots, engine.info.settings.get("max_num_batched_tokens")):
            tried = ", ".join(map(str, left.tried))
            raise EngineError(
                f"{source.name}: out of memory with {tried} slots ({said}); finished turns are "
                "kept, and the same command continues from there: with fewer slots (max_num_seqs), "
                "a shorter max_model_len, or less of a GPU for the cache (gpu_memory_utilization)"
            ) from error
        self._say(
            f"{source.name} ran out of memory with {slots} slots ({said}); finished turns are "
            f"kept, and it starts again with {left.slots}"
        )

    async def _start(
        self, source: ModelSource, options: EngineOptions, constrained: bool
    ) -> Engine:
        """Starts an engine, with what is left to its model if that has run out of memory before."""
        from magpie_hub.engines.factory import start_engine

        left = self._left.get(source)
        if left is not None:
            options = left.apply(options)
        try:
            return await start_engine(
                source,
                options,
                self._home,
                say=self._say,
                rows=self._rows,
                row_tokens=self._row_tokens,
                main_guarded=self._main_guarded,
                constrained=constrained,
            )
        except EngineError as error:
            if left is None:
                raise
            raise EngineError(
                f"{source.name} does not start again after it ran out of memory: {error} Finished "
                "turns are kept, and the same command continues from there."
            ) from error
