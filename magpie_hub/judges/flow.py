"""Subjects through an engine: as many at once as it has slots."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from magpie_hub.engines.base import Engine
from magpie_hub.judges.base import JudgeInput

StartEngine = Callable[[], AbstractAsyncContextManager[Engine]]
"""Hands out a running engine of the judge's model, and takes it back."""

SPARE = 4
"""Requests in flight beyond the engine's slots, so that a freed slot finds one waiting."""


async def each(
    items: Sequence[JudgeInput], do: Callable[[JudgeInput], Awaitable[None]], engine: Engine
) -> None:
    """Does something for every subject; the first failure ends the rest.

    Args:
        subjects: In the order in which they are begun.
        do: What is done; it asks the engine.
        engine: Whose slots are to be full.
    """
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await do(item)

    at_once = min(engine.info.slots + SPARE, len(items))
    tasks = [asyncio.create_task(work()) for _ in range(at_once)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
