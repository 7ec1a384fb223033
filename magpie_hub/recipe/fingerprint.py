"""Fingerprints by stage: what a change costs is what it touches.

The first turns depend on the generator, how it computes, its chat format, the sampling and the
seed; later turns also on the later-turn settings. Gates change no text, only its verdicts: these
have a fingerprint of their own, and another list of gates judges the existing texts. Rows, turns,
the card and everything that only says *where* to run are in no fingerprint: more rows, more turns
or another engine continue the existing rows.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from magpie_hub.recipe.config import Recipe

METHOD = 1
"""Version of the method; raised when the same recipe would generate other rows."""

CAPACITY = frozenset(
    {
        # How much fits, and where it is kept meanwhile.
        *("max_num_batched_tokens", "max_num_scheduled_tokens", "num_gpu_blocks_override"),
        *("kv_cache_memory_bytes", "kv_offloading_size", "kv_offloading_backend"),
        *("cpu_offload_gb", "swap_space", "enable_sleep_mode", "max_parallel_loading_workers"),
        # How the same files are reached; a token must not be written down, either.
        *("hf_token", "download_dir", "safetensors_load_strategy", "use_tqdm_on_load"),
        # What is told of the work.
        *("disable_log_stats", "enable_log_requests", "aggregate_engine_logging", "log_level"),
        *("logging_config", "log_config_file", "otlp_traces_endpoint", "collect_detailed_traces"),
        *("kv_cache_metrics", "cudagraph_metrics", "enable_mfu_metrics", "stream_interval"),
    }
)
"""Fields of vLLM's EngineArgs that change tokens by rounding at most, as the number of rows in a
step does. All other fields in `engine_args` are part of the fingerprint."""


def first_turn_settings(recipe: Recipe, revision: str) -> dict[str, Any]:
    """What determines first turns, as plain data.

    Args:
        recipe: The recipe with this run's overrides.
        revision: The generator's pinned revision.
    """
    return {
        "method": METHOD,
        "model": recipe.model,
        "revision": revision,
        **_numerics(recipe),
        "seed": recipe.seed,
        "chat": recipe.chat.model_dump(mode="json"),
        "instruct": recipe.instruct.model_dump(mode="json"),
        "respond": recipe.respond.model_dump(mode="json"),
    }


def _numerics(recipe: Recipe) -> dict[str, Any]:
    """How the generator computes, beyond what its weights and its files say."""
    args = {name: value for name, value in recipe.engine_args.items() if name not in CAPACITY}
    return {
        "dtype": recipe.dtype,
        "quantization": recipe.quantization,
        "max_model_len": recipe.max_model_len,
        "batch_invariant": recipe.batch_invariant,
        "trust_model_code": recipe.trust_model_code,
        "engine_args": json.loads(json.dumps(args, default=str)),
    }


def later_turn_settings(recipe: Recipe) -> dict[str, Any]:
    """What determines later turns beyond what determines the first, as plain data."""
    return {"method": METHOD, "later_turns": recipe.later_turns.model_dump(mode="json")}


def fingerprint(*settings: dict[str, Any]) -> str:
    """16 hexadecimal digits that name settings."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recipe_fingerprint(recipe: Recipe) -> str:
    """16 hexadecimal digits of everything that a recipe says, this run's overrides included."""
    return fingerprint({"method": METHOD, "recipe": recipe.model_dump(mode="json")})
