"""The transformers scorer: padded batches on the best device of this machine."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from magpie_hub.errors import DeviceError, EngineError, ModelError, one_line
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.torch_env import import_torch, importing

BATCH_TOKENS_CPU, BATCH_TOKENS_GPU = 4096, 32768


class TransformersScorer:
    """Scores with a sequence classification model of `transformers`.

    Attributes:
        batch_tokens: Tokens, padding included, that one call does best with.
    """

    def __init__(self, model: Any, batch_tokens: int) -> None:
        """Takes a loaded model; use `load` to load one."""
        self.batch_tokens = batch_tokens
        self._model = model
        self._config = model.config.get_text_config()
        self._pad: int | None = self._config.pad_token_id

    @classmethod
    def load(
        cls, source: ModelSource, options: EngineOptions, max_tokens: int
    ) -> TransformersScorer:
        """Loads the model: in bfloat16 on a GPU and float32 on a CPU, unless `options` says else.

        Args:
            source: A fetched model.
            options: How it is loaded.
            max_tokens: Not needed here: memory is taken batch by batch.

        Raises:
            ModelError: It cannot be loaded, or its files lack weights.
            DeviceError: It does not fit.
        """
        import_torch()
        with importing():
            import torch
            import transformers
            from transformers import AutoModelForSequenceClassification  # noqa: F401

        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        device = "cuda" if cuda else "mps" if mps else "cpu"
        dtype = options.dtype
        if dtype == "auto":
            dtype = "float32" if device == "cpu" else "bfloat16"
        try:
            model, found = transformers.AutoModelForSequenceClassification.from_pretrained(
                source.path,
                dtype=dtype,
                trust_remote_code=options.trust_model_code,
                output_loading_info=True,
            )
            if found["missing_keys"]:
                raise ModelError(
                    f"{source.name} lacks the weights of {sorted(found['missing_keys'])[0]}, which "
                    "would be drawn at random; name a model that was trained to score."
                )
            model = model.eval().to(device)
        except torch.OutOfMemoryError as error:
            raise DeviceError(f"{source.name} does not fit on this device ({device}).") from error
        except (OSError, ValueError, ImportError, KeyError) as error:
            said = one_line(error, 500)
            raise ModelError(f"{source.name} cannot be loaded: {said}") from error
        _widen_head(model)
        return cls(model, BATCH_TOKENS_CPU if device == "cpu" else BATCH_TOKENS_GPU)

    def scores(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        """Raw logits of one padded batch, halved where the device cannot hold it whole.

        Raises:
            EngineError: The device cannot hold a single one of the prompts.
        """
        import torch

        try:
            return self._forward(prompts)
        except torch.OutOfMemoryError as error:
            if len(prompts) == 1:
                raise EngineError(
                    f"the reward model ran out of device memory on a row of {len(prompts[0])} "
                    "tokens; set its max_model_len lower"
                ) from error
        # Out here the exception is gone, and with it what its frames held on the device.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        half = len(prompts) // 2
        return self.scores(prompts[:half]) + self.scores(prompts[half:])

    def _forward(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        import torch

        pad = self._pad
        if pad is None:
            # The model looks for the last token that is no padding: any id that ends no prompt.
            pad = _absent({prompt[-1] for prompt in prompts})
            self._config.pad_token_id = pad
        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
            mask[row, : len(prompt)] = 1
        with torch.inference_mode():
            logits = self._model(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                use_cache=False,
            ).logits
        return [float(score) for score in logits[:, 0].float().cpu()]

    def close(self) -> None:
        """Frees the device."""
        import torch

        self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _widen_head(model: Any) -> None:
    """Computes the last layer in float32, as vLLM does.

    In bfloat16 a reward of -12 could only move in steps of 0.06, and in ties many rows would share
    one value.
    """
    import torch

    head = getattr(model, "score", None)
    if isinstance(head, torch.nn.Linear) and head.weight.dtype != torch.float32:
        head.float()
        head.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))


def _absent(ids: set[int]) -> int:
    return next(i for i in range(len(ids) + 1) if i not in ids)
