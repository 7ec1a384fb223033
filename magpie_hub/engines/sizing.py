"""Capacity: how many sequences a device decodes at once, and what their KV cache takes.

Slots and cache follow from the device, the model and the tokens that a row is expected to have.
The user's `max_num_seqs` always wins; the numbers here are for when it is not set.
"""

from __future__ import annotations

from magpie_hub.engines.device import (
    GPU_WORKSPACE,
    Device,
    gpus_per_copy,
    node_memory,
    usable_bytes,
    weight_bytes,
)
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions

TURN_TOKENS = 512
"""Tokens of one turn, both sides, on average: 391 to 611 in the published sets (Table 4 of
arXiv 2406.08464v2)."""

SHORT_JOB_TOKENS = 200_000
"""Below this, compiling costs a CPU more time than it saves: about a minute, against a tenth of a
second for every row of the small model, which has some 300 to 500 tokens."""

CPU_SLOTS = 64
"""A CPU is compute-bound from here on: 64 slots reach all the tokens/s that more would."""

GPU_SLOTS = ((4e9, 1024), (20e9, 512), (float("inf"), 256))
"""Slots by number of parameters, where the cache has room for them. Decoding is bound by reading
the weights until the batch nears the GPU's FLOPs per byte of memory bandwidth (data sheets, bf16:
A100 156, H200 206, H100 295), so 256 is the least that fills one; a smaller model's fixed cost per
step wants more. vLLM's own default is 256, or 1024 on GPUs of 70 GiB and more, for any model."""

SLOTS_STEP = 8
"""Slots come in multiples of this, as the batches do for which vLLM records CUDA graphs."""

CPU_CACHE_TOKENS = 2048
"""Tokens that a sequence holds at most as a rule: what a CPU sets aside for each slot."""

CPU_CACHE_SHARE = 0.4
"""Share of the free main memory that the KV cache may take."""


def is_short(rows: int | None, row_tokens: int = TURN_TOKENS) -> bool:
    """Says whether a job is too short to be worth a compilation on a CPU.

    Args:
        rows: Rows that are wanted; None where unknown.
        row_tokens: Tokens of one row on average.
    """
    return rows is not None and rows * row_tokens < SHORT_JOB_TOKENS


def default_slots(
    source: ModelSource, options: EngineOptions, device: Device, row_tokens: int = TURN_TOKENS
) -> int:
    """Returns how many sequences are decoded at once when `max_num_seqs` is not set.

    As many as fill the device, within what its cache holds. Counted is a whole row for each: at a
    random moment a running sequence has seen half of its tokens, but long ones are met more often,
    which adds up to 0.63 to 0.76 of the mean where lengths scatter as in the published sets. What
    is left over is what spares vLLM from throwing sequences out of the cache and computing them
    again.

    Args:
        source: The model.
        options: What the user set. `max_num_seqs` is not looked at.
        device: What there is.
        row_tokens: Tokens that a row has when it is finished, on average.
    """
    slots = CPU_SLOTS
    if device.gpus:
        parameters = source.parameters or (source.weight_bytes or 0) / 2 or 8e9
        slots = next(slots for limit, slots in GPU_SLOTS if parameters < limit)
    room = cache_room(source, options, device)
    if room is not None:
        slots = min(slots, room // row_tokens)
    batched = options.engine_args.get("max_num_batched_tokens")
    if isinstance(batched, int):
        # vLLM refuses a step that is too small for a token of every slot.
        slots = min(slots, batched)
    return max(1, slots if slots < SLOTS_STEP else slots - slots % SLOTS_STEP)


def cache_room(source: ModelSource, options: EngineOptions, device: Device) -> int | None:
    """Returns the tokens that the KV cache of one copy of a model has room for; None if unknown."""
    per_token, weights = token_bytes(source, options), weight_bytes(source, options)
    if per_token is None or weights is None:
        return None
    if not device.gpus:
        return int(_free(device) * CPU_CACHE_SHARE) // per_token
    gpus = gpus_per_copy(source, options, device)
    room = usable_bytes(options, device, gpus) - weights - GPU_WORKSPACE * gpus
    return max(0, room) // per_token


def cache_bytes(
    source: ModelSource, options: EngineOptions, device: Device, slots: int, length: int
) -> int:
    """Returns the size of the KV cache on a CPU, where vLLM would take nearly all of the memory.

    Enough for every slot at the expected length, within a share of what is free, yet never less
    than one sequence of full length (vLLM refuses to start below that).
    """
    per_token = token_bytes(source, options) or 128 * 1024
    wanted = slots * min(CPU_CACHE_TOKENS, length) * per_token
    return max(min(wanted, int(_free(device) * CPU_CACHE_SHARE)), (length + 64) * per_token)


def token_bytes(source: ModelSource, options: EngineOptions) -> int | None:
    """Returns the bytes that one token takes in the KV cache; None where unknown."""
    size = source.kv_bytes_per_token
    if size is None:
        return None
    if str(options.engine_args.get("kv_cache_dtype", "")).startswith("fp8"):
        return size // 2
    return size * 2 if options.dtype == "float32" else size


def _free(device: Device) -> int:
    """Free bytes of main memory, of the smallest node where there are several."""
    return min(device.free, node_memory() or device.free)
