"""The summary of a running engine: one line for people, from nothing but its `EngineInfo`."""

from __future__ import annotations

from magpie_hub.engines.base import EngineInfo
from magpie_hub.engines.device import GIB


def summary(info: EngineInfo) -> str:
    """Says how an engine runs, such as

        vllm 0.32.0: float32 on cpu (2 threads), 64 slots, context 4,096, KV cache 5.2 GiB
        (118,000 tokens, 28 rows of full length), 4,096 tokens a step, not compiled

    What an engine does not tell is left out. Every word of it is in the journal's session, too.
    """
    found = info.settings
    threads = found.get("threads")
    words = [
        # A server does not say what it computes with.
        ("" if info.dtype == "unknown" else f"{info.dtype} on ")
        + info.device
        + (f" ({threads} threads)" if threads else ""),
        f"{info.slots:,} slots",
        f"context {info.max_model_len:,}",
    ]
    if cache := _cache(info):
        words.append(cache)
    if tokens := found.get("max_num_batched_tokens"):
        words.append(f"{tokens:,} tokens a step")
    if refill := found.get("refill_slots"):
        words.append(f"refilled {refill:,} at a time")
    if "enforce_eager" in found:
        words.append("not compiled" if found["enforce_eager"] else "compiled")
    return f"{info.name} {info.version}: {', '.join(words)}"


def _cache(info: EngineInfo) -> str | None:
    size, tokens = (
        info.settings.get(name) for name in ("kv_cache_memory_bytes", "kv_cache_tokens")
    )
    words = f"KV cache {size / GIB:.1f} GiB" if isinstance(size, int) else "KV cache"
    if isinstance(tokens, int):
        rows = tokens // info.max_model_len
        return f"{words} ({tokens:,} tokens, {rows:,} rows of full length)"
    return words if isinstance(size, int) else None
