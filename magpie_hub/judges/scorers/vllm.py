"""The vLLM scorer: a pooling model whose classification head's logits are taken as they are.

vLLM batches by itself, reads what two prompts share from its prefix cache, and computes the head
in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from magpie_hub.engines.device import find_device
from magpie_hub.engines.vllm.arguments import plan_arguments, quiet, vllm_environment
from magpie_hub.engines.vllm.inprocess import end_engine
from magpie_hub.errors import EngineError
from magpie_hub.models.files import Config, read_as
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.torch_env import import_torch

BATCH_TOKENS = 262_144
"""Of one call: some seconds of a GPU's work, so that its drain hardly counts and a kill costs
little."""


def serves(source: ModelSource) -> bool:
    """Whether vLLM has a fetched model's architecture, as a classifier or to make one of.

    A causal model of vLLM's is turned into a classifier by the head in the checkpoint.
    """
    if source.path is None:
        raise ValueError(f"{source.name} is not fetched")
    import_torch()
    with quiet():
        from vllm import ModelRegistry

        served = ModelRegistry.get_supported_archs()
    kinds = read_as(Config, source.path / "config.json").architectures or ()
    causal = (kind.replace("ForSequenceClassification", "ForCausalLM") for kind in kinds)
    return any(kind in served for kind in (*kinds, *causal))


class VllmScorer:
    """Scores with vLLM's `LLM.classify`.

    Attributes:
        batch_tokens: Tokens that one call does best with.
    """

    batch_tokens = BATCH_TOKENS

    def __init__(self, llm: Any, set_num_threads: Any, threads: int) -> None:
        """Takes a running `vllm.LLM`; use `load` to load one."""
        self._llm = llm
        self._set_num_threads = set_num_threads
        self._threads = threads
        config = llm.llm_engine.vllm_config.model_config.hf_config
        self._pad: int | None = config.get_text_config().pad_token_id

    @classmethod
    def load(cls, source: ModelSource, options: EngineOptions, max_tokens: int) -> VllmScorer:
        """Loads the model, in bfloat16 on a GPU unless `options` says otherwise.

        Args:
            source: A fetched model.
            options: How it is loaded. Its core runs in this process unless `in_process` is false.
            max_tokens: Tokens of the longest prompt to come.

        Raises:
            UserError: A setting that vLLM does not know.
            EngineError: vLLM did not start.
        """
        import_torch()
        import torch

        device = find_device()
        dtype = "bfloat16" if device.gpus and options.dtype == "auto" else options.dtype
        options = options.model_copy(update={"dtype": dtype, "max_model_len": max_tokens})
        set_num_threads, threads = torch.set_num_threads, torch.get_num_threads()
        with vllm_environment(device, in_process=options.in_process is not False):
            import vllm
            from vllm.engine.arg_utils import EngineArgs

            known = {field.name for field in fields(EngineArgs)}
            arguments = plan_arguments(source, options, device, known, short_job=True)
            arguments |= {
                "runner": "pooling",
                "convert": "classify",
                "disable_log_stats": True,
                # vLLM's pooling wants one, though only ids go in.
                "skip_tokenizer_init": False,
            }
            if not device.gpus:
                set_num_threads(device.cores)  # holds for the thread that calls it
            try:
                llm = vllm.LLM(**arguments)
            except Exception as error:
                end_engine(None)
                torch.set_num_threads = set_num_threads
                set_num_threads(threads)
                said = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise EngineError(f"vLLM did not start {source.name}: {said}") from error
        return cls(llm, set_num_threads, threads)

    def scores(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        """Raw logits; see `Scorer.scores`."""
        from vllm import PoolingParams

        try:
            outputs = self._llm.classify(
                [{"prompt_token_ids": self._unpadded(prompt)} for prompt in prompts],
                # Without it, vLLM would give probabilities.
                pooling_params=PoolingParams(use_activation=False),
                use_tqdm=False,
            )
        except Exception as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EngineError(f"vLLM stopped scoring: {said}") from error
        return [float(output.outputs.probs[0]) for output in outputs]

    def close(self) -> None:
        """Frees the device."""
        import torch

        engine, self._llm = self._llm.llm_engine, None
        end_engine(engine)
        # On a CPU, vLLM puts a function in its place that does nothing.
        torch.set_num_threads = self._set_num_threads
        self._set_num_threads(self._threads)

    def _unpadded(self, prompt: Sequence[int]) -> list[int]:
        """A prompt up to the token at which transformers reads the score; vLLM takes the last."""
        end = len(prompt)
        while end > 1 and prompt[end - 1] == self._pad:
            end -= 1
        return list(prompt[:end])
