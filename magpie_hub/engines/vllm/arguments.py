"""What vLLM is started with: arguments, environment and defaults, chosen from model and device.

The user's setting always wins. What is left open is chosen for throughput over many short rows,
and reported in `EngineInfo.settings`.

Tokens a step (`max_num_batched_tokens`) are left to vLLM, which is told that its work is offline:
16,384 on GPUs of 70 GiB and more, 8,192 on others, where more was found to be slower (A100), 4,096
on a CPU. A Magpie prompt is short, so prompts hardly ever fill a step.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from magpie_hub.engines.device import Device, default_context, gpus_per_copy, threads
from magpie_hub.engines.sizing import cache_bytes, default_slots
from magpie_hub.errors import ModelError, UserError
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.torch_env import environment as process_environment
from magpie_hub.torch_env import import_torch, torch_settings

MENDS_CPU = "magpie_hub.engines.vllm.amx_patch.Mended"
"""By name, for the process that computes to import; that module says what it mends."""

_OURS = ("model", "tokenizer", "revision", "tokenizer_revision", "disable_log_stats")


_CHANGED_BY_VLLM = ("VLLM_", "TORCH", "KMP_", "LD_", "NUMEXPR_", "LOCAL_WORLD_SIZE")
"""Prefixes of what vLLM and its libraries set in this process; programs that the caller starts must
not get it (LD_PRELOAD among them)."""


def plan_arguments(
    source: ModelSource,
    options: EngineOptions,
    device: Device,
    known: set[str],
    *,
    short_job: bool = False,
    constrained: bool = False,
) -> dict[str, Any]:
    """Returns the keyword arguments for vLLM's EngineArgs.

    Args:
        source: A fetched model.
        options: What the user set.
        device: What there is.
        known: Field names that the installed vLLM's EngineArgs has. What it lacks is left out of
            our choices, and refused where the user asks for it.
        short_job: Whether to favour a quick start over speed, where that pays (on a CPU).
        constrained: Whether requests may have a pattern.

    Raises:
        UserError: An `engine_args` name that vLLM does not know or that is not free to set, or a
            context longer than the model's.
    """
    if source.path is None:
        raise ModelError(f"{source.name} is not fetched yet; call fetch() first.")
    check_names(options.engine_args, known)
    if not device.gpus and "worker_extension_cls" in options.engine_args:
        raise UserError(
            "engine_args: worker_extension_cls is taken on a CPU, where vLLM does not work without "
            "it; leave it out."
        )
    length = options.max_model_len or default_context(source, device)
    if source.context_length and length > source.context_length:
        raise UserError(
            f"max_model_len: {length} is more than the {source.context_length} tokens that "
            f"{source.name} was made for; set at most that."
        )
    slots = options.max_num_seqs or default_slots(source, options, device)
    chosen: dict[str, Any] = {
        "model": str(source.path),
        "dtype": options.dtype,
        "quantization": options.quantization,
        "max_num_seqs": slots,
        "max_model_len": length,
        "tensor_parallel_size": gpus_per_copy(source, options, device),
        "data_parallel_size": options.data_parallel_size,
        "trust_remote_code": options.trust_model_code,
        "enforce_eager": (
            options.enforce_eager
            if options.enforce_eager is not None
            else short_job and not device.gpus
        ),
        "enable_prefix_caching": True,
        # Token ids in and out: no tokenizer, unless grammars need to know what tokens spell, and no
        # stop ids or defaults but the request's own.
        "skip_tokenizer_init": not constrained,
        "generation_config": "vllm",
        "disable_log_stats": False,
        "use_tqdm_on_load": False,
    }
    if constrained:
        # By itself vLLM turns to another library for what xgrammar refuses, request by request.
        chosen["structured_outputs_config"] = {"backend": "xgrammar"}
    if options.gpu_memory_utilization is not None:
        chosen["gpu_memory_utilization"] = options.gpu_memory_utilization
    if not device.gpus:
        if "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
            chosen["kv_cache_memory_bytes"] = cache_bytes(source, options, device, slots, length)
        # On a CPU vLLM takes blocks of 128, so that a Magpie prompt is shorter than a block and
        # nothing is ever found in the prefix cache; its kernels want a multiple of 32.
        chosen["block_size"] = 32
        chosen["worker_extension_cls"] = MENDS_CPU
    chosen = {key: value for key, value in chosen.items() if key in known}
    return chosen | dict(options.engine_args)


def check_grammars() -> None:
    """Looks whether the installed vLLM keeps a completion to its pattern up to the end.

    Raises:
        UserError: It does not know patterns, or lets stop tokens cut them off.
    """
    import vllm

    try:
        from vllm.sampling_params import StructuredOutputsParams  # noqa: F401
        from vllm.v1.structured_output.backend_xgrammar import XgrammarBackend
    except ImportError:
        knows: Mapping[str, Any] = {}
    else:
        knows = inspect.signature(XgrammarBackend.compile_grammar).parameters
    if "stop_token_ids" not in knows:
        raise UserError(
            f"vLLM {vllm.__version__} is too old to hold a model to its labels: upgrade it, or set "
            f"engine: transformers."
        )


def check_names(engine_args: Mapping[str, Any], known: set[str]) -> None:
    """Refuses `engine_args` that vLLM does not know, or that have an override of their own here.

    Raises:
        UserError: Names the argument and the nearest one that vLLM has.
    """
    own = {*EngineOptions.model_fields, "trust_remote_code"} - {"engine_args"}
    for name in engine_args:
        if name in own:
            override = "trust_model_code" if name == "trust_remote_code" else name
            raise UserError(
                f"engine_args: {name} is a setting of its own; set {override} directly."
            )
        if name in _OURS:
            raise UserError(f"engine_args: {name} is chosen by the recipe's model; leave it out.")
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise UserError(f"engine_args: the installed vLLM has no argument {name}{hint}")


@contextmanager
def quiet(batch_invariant: bool = False) -> Iterator[None]:
    """Keeps vLLM from printing while it is imported or started; its logger "vllm" stays heard.

    The caller's logging decides where messages go: vLLM's own handler, which prints, is not set
    up, unless the user asks for it by VLLM_CONFIGURE_LOGGING.

    Args:
        batch_invariant: Whether vLLM is to choose its batch-invariant kernels, as it does when it
            is imported.
    """
    # Without a handler anywhere, Python itself would print warnings on stderr.
    logger = logging.getLogger("vllm")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    import_torch()
    forced = {"VLLM_BATCH_INVARIANT": "1"} if batch_invariant else {}
    with (
        process_environment({"VLLM_CONFIGURE_LOGGING": "0"}, forced, clean=_CHANGED_BY_VLLM),
        warnings.catch_warnings(),
    ):
        # Deprecations between vLLM and torch are for their authors.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextmanager
def vllm_environment(
    device: Device, *, in_process: bool, batch_invariant: bool = False
) -> Iterator[None]:
    """Sets what vLLM reads from the environment while it starts, and puts it back afterwards.

    vLLM reads its variables once, at the end of its start at the latest. One that the user has set
    stays as it is, except for those that the recipe decides. What vLLM sets itself goes too.
    """
    wanted = torch_settings() | {
        "VLLM_NO_USAGE_STATS": "1",
        # vLLM gives a grammar 5 seconds to be compiled, against hostile ones. Ours are the judges'
        # own; that of the tags takes longer on a slow or busy machine, and would end the run.
        "VLLM_REGEX_COMPILATION_TIMEOUT_S": "120",
        # For processes that vLLM starts, and Python's own that looks after their shared memory.
        "PYTHONWARNINGS": "ignore::FutureWarning,ignore::DeprecationWarning,"
        "ignore:resource_tracker:UserWarning",
    }
    if not device.gpus:
        # vLLM drops to one thread, or keeps a core back for a server, unless told otherwise.
        wanted["OMP_NUM_THREADS"] = str(threads(device))
        if device.cores <= 4:
            wanted["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    forced = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0" if in_process else "1"}
    if not in_process:
        # This process has threads, which a fork would copy in the middle of their work.
        forced["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
    with (
        quiet(batch_invariant),
        process_environment(wanted, forced),
        _random_states(),
    ):
        # An engine that was started before has made vLLM keep what it read.
        if (envs := sys.modules.get("vllm.envs")) and hasattr(envs, "disable_envs_cache"):
            envs.disable_envs_cache()
        yield


@contextmanager
def _random_states() -> Iterator[None]:
    """Gives the caller's random number generators back as they were: vLLM seeds them all."""
    import random

    import numpy
    import torch

    kept = random.getstate(), numpy.random.get_state(), torch.random.get_rng_state()
    try:
        yield
    finally:
        random.setstate(kept[0])
        numpy.random.set_state(kept[1])
        torch.random.set_rng_state(kept[2])
