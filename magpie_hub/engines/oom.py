"""Shortage: the device's memory runs out, and what is tried then.

An engine that has run out is started again with half its slots, and after that with fewer tokens
a step as well: both shrink what vLLM has to set aside. How much of a GPU it may take, and the
context length, stay as the person has them.
"""

from __future__ import annotations

import gc
import textwrap
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from magpie_hub.engines.device import Device
from magpie_hub.errors import DeviceError, EngineError, OutOfMemory
from magpie_hub.recipe.engine import EngineOptions

TRIES = 4
"""Starts of one engine, each with half the slots of the one before."""

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


def fewer_tokens(tokens: object, slots: int) -> int:
    """Returns how many tokens a step takes after it was too much.

    Args:
        tokens: How many it took; anything but a number where that is unknown.
        slots: Sequences decoded at once. vLLM refuses a step without a token for each.
    """
    before = min(tokens, BATCHED_TOKENS) if isinstance(tokens, int) else BATCHED_TOKENS
    return max(slots, before // 2)


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
        say: Told of each further start, a line each.

    Returns:
        What `start` returned.

    Raises:
        DeviceError: It does not fit even with a few slots, or its weights alone do not.
        EngineError: It did not start for another reason.
    """
    tried: list[str] = []
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
                    f"{error} What the start before had taken did not come back; run it again "
                    f"with max_num_seqs: {options.max_num_seqs}, in a new process"
                ) from error
            raise
        slots = (options.max_num_seqs or 1) // 2
        if in_weights or slots < 1 or len(tried) == TRIES:
            why = "its weights alone do not fit" if in_weights else f"tried {', '.join(tried)}"
            ways = "Choose a smaller model"
            if device.gpus:
                ways += ", a quantization, more GPUs for it (tensor_parallel_size), a shorter"
                ways += " max_model_len or another gpu_memory_utilization."
            else:
                ways += " or a shorter max_model_len, or free some memory."
            raise DeviceError(f"{name}: out of memory on {device.label}; {why} ({said}). {ways}")
        arguments = dict(options.engine_args)
        if len(tried) > 1:
            arguments[_TOKENS] = fewer_tokens(arguments.get(_TOKENS), slots)
        options = options.model_copy(update={"max_num_seqs": slots, "engine_args": arguments})
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
