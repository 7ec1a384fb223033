"""The vLLM engine: continuous batching, in this process or in one of its own.

In this process, one thread owns vLLM's core: it takes requests from a queue, steps while there is
work, sleeps when there is none, and hands results to the callers' event loops, one call per step.
That works in a plain script, and is the default. In a process of its own the core does not share
an interpreter with the rollouts; that process is spawned, so a script needs a main guard. Copies
of a model (`data_parallel_size`) exist only there.

Whichever it is: an engine stops on the request's stop ids alone, and a failure of the core reaches
every caller as an `EngineError`. Tokens go in and out; only an engine for patterns gives vLLM the
tokenizer, which its grammars are made of.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Protocol

from magpie_hub.engines.base import Completion, EngineInfo, EngineStats, Sampling
from magpie_hub.engines.device import Device, find_device, settle_dtype, threads
from magpie_hub.engines.oom import failure
from magpie_hub.engines.regex import end_ids, with_ends
from magpie_hub.engines.vllm.arguments import check_grammars, plan_arguments, vllm_environment
from magpie_hub.engines.vllm.inprocess import OwnThread
from magpie_hub.engines.vllm.subprocess import OwnProcess
from magpie_hub.errors import EngineError, MagpieError, UserError, one_line
from magpie_hub.models.source import ModelSource, load_tokenizer
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.torch_env import import_torch


class Core(Protocol):
    """A running vLLM core, wherever it runs."""

    config: Any

    async def complete(self, key: str, prompt: Any, params: Any) -> Any:
        """Returns vLLM's final RequestOutput; cancelling it aborts the request."""
        ...

    async def doze(self, asleep: bool) -> None:
        """Puts vLLM to sleep, its weights into the host's memory, or wakes it."""
        ...

    async def close(self) -> None:
        """Ends the core; twice is harmless."""
        ...


class VllmEngine:
    """An engine on vLLM; see `magpie_hub.engines.base.Engine`.

    Attributes:
        info: What runs.
        stats: Counters, kept current while requests run.
    """

    def __init__(
        self,
        core: Core,
        info: EngineInfo,
        stats: EngineStats,
        ends: Sequence[int] | None = None,
    ) -> None:
        """Takes a running core; use `start` to have one.

        Args:
            core: What runs.
            info: What it is.
            stats: Kept current by the core.
            ends: What ends a completion under a pattern, beside the request's own stop ids; None
                if there will be none.
        """
        self.info = info
        self.stats = stats
        self._core = core
        self._ends = ends
        self._vocabulary: int = core.config.model_config.get_vocab_size()
        self._keys = itertools.count()
        self._asleep = False

    @classmethod
    async def start(
        cls,
        source: ModelSource,
        options: EngineOptions,
        *,
        short_job: bool = False,
        main_guarded: bool = False,
        device: Device | None = None,
        constrained: bool = False,
    ) -> VllmEngine:
        """Loads the model and warms the engine up.

        Args:
            source: A fetched model.
            options: What the user set.
            short_job: Favour a quick start: on a CPU, skip compilation unless `enforce_eager`
                says otherwise.
            main_guarded: Whether the main module may be imported again without harm, as when the
                installed command runs. Then a GPU's core gets a process of its own by default.
            device: What there is; None to look.
            constrained: Whether requests may have a pattern.

        Raises:
            UserError: A setting that vLLM does not know or cannot take, or a vLLM that is too old
                for patterns.
            OutOfMemory: The device's memory does not suffice.
            EngineError: vLLM did not start.
        """
        import_torch()
        device = device or find_device()
        options = settle_dtype(source, options, device)
        in_process = choose_in_process(options, device, main_guarded)
        stats = EngineStats(cached_tokens=0, steps=0, busy_slot_steps=0, running=0)
        with vllm_environment(
            device, in_process=in_process, batch_invariant=options.batch_invariant
        ):
            import vllm
            from vllm.engine.arg_utils import AsyncEngineArgs, EngineArgs

            made = EngineArgs if in_process else AsyncEngineArgs
            known = {field.name for field in fields(made)}
            arguments = plan_arguments(
                source, options, device, known, short_job=short_job, constrained=constrained
            )
            tokenizer = None
            if constrained:
                check_grammars()
                tokenizer = load_tokenizer(source, options.trust_model_code)
            try:
                core: Core
                if in_process:
                    computing = None if device.gpus else threads(device)
                    core = await OwnThread.start(made(**arguments), stats, computing)
                else:
                    core = await OwnProcess.start(made(**arguments), stats)
            except MagpieError:
                raise
            except Exception as error:
                if refused := _refused_settings(error):
                    raise UserError(f"vLLM does not take {refused}.") from error
                raise failure(f"vLLM did not start: {one_line(error)}", error) from error
        used = arguments.get("tensor_parallel_size", 1) * options.data_parallel_size
        model = core.config.model_config
        info = EngineInfo(
            name="vllm",
            version=vllm.__version__,
            device=f"{device.gpus[0].name} x{used}" if device.gpus else "cpu",
            dtype=str(model.dtype).removeprefix("torch."),
            slots=arguments["max_num_seqs"] * options.data_parallel_size,
            max_model_len=model.max_model_len,
            settings={key: value for key, value in arguments.items() if key != "model"}
            | chosen_by_vllm(core.config)
            | {"in_process": in_process}
            | ({} if device.gpus else {"threads": threads(device)}),
        )
        ends = None if tokenizer is None else end_ids(tokenizer, model.get_vocab_size())
        return cls(core, info, stats, ends)

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        """Completes one prompt; see `Engine.generate`."""
        room = self.info.max_model_len - len(prompt)
        if not prompt or room < 1:
            raise EngineError(
                f"vLLM refuses the request: a prompt of {len(prompt)} tokens does not fit a "
                f"context of {self.info.max_model_len}; see max_model_len."
            )
        if min(prompt) < 0 or max(prompt) >= self._vocabulary:
            # vLLM would look it up all the same, and die of it.
            raise EngineError(
                f"vLLM refuses the request: token ids go from 0 to {self._vocabulary - 1}."
            )
        sampling = with_ends(sampling, self._ends)
        try:
            params = sampling_params(sampling, room)
        except Exception as error:  # its class differs between versions of vLLM
            raise EngineError(f"vLLM refuses the request: {one_line(error)}") from error
        self.stats.prompt_tokens += len(prompt)
        tokens = {"type": "token", "prompt_token_ids": list(prompt)}
        output = await self._core.complete(str(next(self._keys)), tokens, params)
        return completion(output, sampling)

    async def rest(self) -> None:
        """Sleeps, if vLLM was started so that it can (`enable_sleep_mode`; GPUs only)."""
        await self._doze(True)

    async def wake(self) -> None:
        """Wakes up, if it sleeps."""
        await self._doze(False)

    async def _doze(self, asleep: bool) -> None:
        if self._asleep != asleep and self._core.config.model_config.enable_sleep_mode:
            await self._core.doze(asleep)
            self._asleep = asleep

    async def close(self) -> None:
        """Ends the engine and frees the device. Calling it twice is harmless."""
        await self._core.close()
        self.stats.running = 0


def choose_in_process(options: EngineOptions, device: Device, main_guarded: bool) -> bool:
    """Says whether the core runs in this process; see the module's docstring."""
    if options.data_parallel_size > 1:
        return False
    if options.in_process is not None:
        return options.in_process
    return not (device.gpus and main_guarded)


def chosen_by_vllm(config: Any) -> dict[str, Any]:
    """Returns what vLLM has chosen or found by itself, by its own names where it has one.

    Args:
        config: vLLM's VllmConfig, once the engine runs.

    Returns:
        `max_num_batched_tokens`, and `kv_cache_tokens`, which one copy of the model has room for;
        what this version of vLLM does not tell is left out.
    """
    cache = config.cache_config
    tokens = getattr(cache, "kv_cache_size_tokens", None)
    if tokens is None and cache.num_gpu_blocks:
        # Versions that do not say; wrong for models with several kinds of cache.
        copies = config.parallel_config.data_parallel_size
        tokens = cache.num_gpu_blocks * cache.block_size // copies
    found = {
        "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
        "kv_cache_tokens": tokens,
    }
    return {name: value for name, value in found.items() if value is not None}


def sampling_params(sampling: Sampling, room: int) -> Any:
    """Returns vLLM's SamplingParams for ours.

    Args:
        sampling: What the row wants, its pattern as `with_ends` writes it.
        room: Tokens that the context still holds.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    extra: dict[str, Any] = {}
    if sampling.loop:
        try:
            from vllm.sampling_params import RepetitionDetectionParams
        except ImportError:  # an older vLLM: the loop runs on to the token limit
            pass
        else:
            extra["repetition_detection"] = RepetitionDetectionParams(
                min_pattern_size=sampling.loop.min_pattern,
                max_pattern_size=sampling.loop.max_pattern,
                min_count=sampling.loop.count,
            )
    if sampling.pattern is not None:
        from vllm.sampling_params import StructuredOutputsParams

        extra["structured_outputs"] = StructuredOutputsParams(regex=sampling.pattern)
    return SamplingParams(
        # vLLM counts the stop token as a new token, our contract does not.
        max_tokens=min(sampling.max_tokens + 1, room),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        # A random stream of its own costs a request a kernel launch a step; greedy needs none.
        seed=sampling.seed if sampling.temperature > 0 else None,
        stop_token_ids=list(sampling.stop_ids),
        ignore_eos=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
        **extra,
    )


def completion(output: Any, sampling: Sampling) -> Completion:
    """Returns our Completion for vLLM's final RequestOutput.

    Raises:
        EngineError: The request was aborted or failed inside vLLM.
    """
    made = output.outputs[0]
    ids = tuple(made.token_ids)
    result = Completion(ids, "length", cached_tokens=output.num_cached_tokens)
    if made.finish_reason == "stop":
        return replace(result, ids=ids[:-1], finish_reason="stop", stop_id=ids[-1])
    if made.finish_reason not in ("length", "repetition"):
        raise EngineError(f"vLLM ended a request with {made.finish_reason!r}.")
    if len(ids) > sampling.max_tokens:
        return replace(result, ids=ids[: sampling.max_tokens])
    return replace(result, finish_reason=made.finish_reason)


def _refused_settings(error: Exception) -> str | None:
    """Returns what pydantic says of the settings that it refuses; None for any other error."""
    problems = getattr(error, "errors", None)
    if not callable(problems):
        return None
    said = []
    for problem in problems():
        place = ".".join(str(part) for part in problem.get("loc", ()))
        message = one_line(problem.get("msg", ""))
        said.append(f"{place}: {message}" if place else message)
    return "; ".join(said).rstrip(".")
