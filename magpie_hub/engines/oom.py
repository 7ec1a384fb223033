"""Out of memory: how torch and vLLM say it, what is tried next with less, and when to give up.

There is one ladder (`Ladder`): half the slots each time, and from the second time on fewer tokens a
step as well, which both shrink what vLLM has to set aside. How much of a GPU it may take, and the
context length, stay as the user has them. It serves an engine that does not start
(`start_with_less`) and one that runs out while it works (`magpie_hub.engines.pool`). The
transformers engine halves its batch by itself and goes on, without a new start.
"""

from __future__ import annotations

import gc
import textwrap
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from magpie_hub.engines.device import Device
from magpie_hub.errors import DeviceError, EngineError, OutOfMemory
from magpie_hub.recipe.engine import EngineOptions

TRIES = 4
"""Starts of one model's engine, each with half the slots of the one before."""

BATCHED_TOKENS = 8192
"""Tokens of a step that the first lowering begins at: vLLM's offline default on most GPUs."""

_TEXTS = (
    # torch, on any device; in a log the class's name stands before the message.
    "out of memory",
    "MemoryError",
    "can't allocate memory",
    "not enough memory",
    # vLLM, once weights and activations have left too little.
    "No available memory for the cache blocks",
    "larger than the available KV cache memory",
    "less than requested memory for kv",
)
_TOKENS = "max_num_batched_tokens"
_WEIGHTS = "Failed to load model"
_HELD = "Free memory on device"

Started = TypeVar("Started")


def names_shortage(text: str) -> bool:
    """Says whether a message of torch or vLLM tells of too little memory."""
    return any(part in text for part in _TEXTS)


def is_shortage(error: BaseException) -> bool:
    """Says whether an error, or one that it came from, tells of too little memory."""
    return any(
        isinstance(one, MemoryError)
        or type(one).__name__ == "OutOfMemoryError"
        or names_shortage(str(one))
        for one in _chain(error)
    )


def failure(text: str, error: BaseException, said: str = "") -> EngineError:
    """Returns what is raised for an engine that failed: `OutOfMemory` if that is why.

    Args:
        text: The message, one line.
        error: Why.
        said: What else was said of it, such as the log of the process that died.
    """
    found: EngineError
    if is_shortage(error) or names_shortage(said):
        found = OutOfMemory(text, in_weights=_WEIGHTS in said or _while_loading(error))
    else:
        found = EngineError(text)
    found.__cause__ = error
    return found


def forget(error: BaseException) -> None:
    """Lets go of what an error's frames hold: an engine's weights and cache among them."""
    for one in _chain(error):
        traceback.clear_frames(one.__traceback__)
    gc.collect()


def brief(error: BaseException) -> str:
    """Returns an error's message as part of a line; torch says more than fits in one."""
    return textwrap.shorten(str(error), 160, placeholder=" …").rstrip(".")


@dataclass(slots=True)
class Ladder:
    """What is left to one model that has run out of memory.

    Attributes:
        tried: Slots that were too many, in order.
        slots: Slots to go on with.
        tokens: Tokens a step to go on with; None to leave them to the engine.
    """

    tried: list[int] = field(default_factory=list)
    slots: int = 0
    tokens: int | None = None

    def step_down(self, slots: int, tokens: object) -> bool:
        """Notes what was too much.

        Args:
            slots: Slots that it had.
            tokens: Tokens a step that it had; None if the engine knows no such setting.

        Returns:
            Whether to try again; False after `TRIES` of them, or with no slot left.
        """
        self.tried.append(slots)
        self.slots = slots // 2
        if len(self.tried) > 1 and tokens is not None:
            before = min(tokens, BATCHED_TOKENS) if isinstance(tokens, int) else BATCHED_TOKENS
            # vLLM refuses a step without a token for each slot.
            self.tokens = max(self.slots, before // 2)
        return self.slots > 0 and len(self.tried) < TRIES

    def apply(self, options: EngineOptions) -> EngineOptions:
        """Returns options with what is left."""
        tokens = {} if self.tokens is None else {_TOKENS: self.tokens}
        arguments = {**options.engine_args, **tokens}
        return options.model_copy(update={"max_num_seqs": self.slots, "engine_args": arguments})


async def start_with_less(
    start: Callable[[EngineOptions], Awaitable[Started]],
    options: EngineOptions,
    name: str,
    device: Device,
    *,
    say: Callable[[str], None],
) -> Started:
    """Starts an engine, and again with less as long as the device's memory runs out.

    Args:
        start: Starts it.
        options: What it is started with first; `max_num_seqs` is set.
        name: The model's, for messages.
        device: What it runs on.
        say: Takes a line for each further start.

    Returns:
        What `start` returned.

    Raises:
        DeviceError: It does not fit even with a few slots, or its weights alone do not.
        EngineError: It did not start for another reason.
    """
    ladder, tried = Ladder(), list[str]()
    while True:
        tried.append(_settings(options))
        try:
            return await start(options)
        except OutOfMemory as error:
            said, in_weights = brief(error), error.in_weights
            forget(error)
        except EngineError as error:
            if len(tried) > 1 and _HELD in str(error):
                raise EngineError(
                    f"{error} The memory of the previous start was not released; run it again "
                    f"with max_num_seqs: {options.max_num_seqs}, in a new process"
                ) from error
            raise
        tokens = options.engine_args.get(_TOKENS, BATCHED_TOKENS)
        if not ladder.step_down(options.max_num_seqs or 1, tokens) or in_weights:
            why = "its weights alone do not fit" if in_weights else f"tried {', '.join(tried)}"
            ways = "Choose a smaller model"
            if device.gpus:
                ways += ", a quantization, more GPUs for it (tensor_parallel_size), a shorter"
                ways += " max_model_len or another gpu_memory_utilization."
            else:
                ways += " or a shorter max_model_len, or free some memory."
            raise DeviceError(f"{name}: out of memory on {device.label}; {why} ({said}). {ways}")
        options = ladder.apply(options)
        say(f"out of memory with {tried[-1]} ({said}); starting again with {_settings(options)}")


def _settings(options: EngineOptions) -> str:
    tokens = options.engine_args.get(_TOKENS)
    more = f" and {tokens:,} tokens a step" if isinstance(tokens, int) else ""
    return f"{options.max_num_seqs:,} slots{more}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _while_loading(error: BaseException) -> bool:
    """Whether it came up in vLLM's `load_model`, which nothing but the weights can fill."""
    return any(
        frame.f_code.co_name == "load_model"
        for one in _chain(error)
        for frame, _ in traceback.walk_tb(one.__traceback__)
    )
