"""The scorer contract: token ids in, one number a prompt out, and which scorer runs a model.

A scorer knows nothing of text, chat templates or rows. The number is the raw logit of the model's
only label, read at the last token that is not padding, as transformers reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from magpie_hub.engines.device import (
    CPU_WORKSPACE,
    GIB,
    GPU_WORKSPACE,
    find_device,
    usable_bytes,
    weight_bytes,
)
from magpie_hub.engines.registry import backend
from magpie_hub.errors import DeviceError, ModelError, UserError, one_line
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.torch_env import import_torch, importing

Prompt = Sequence[int]
Item = TypeVar("Item")

KIND = (
    "a sequence classification model with one score a row is needed, such as "
    "sfairXC/FsfairX-LLaMA3-RM-v0.1"
)


class Scorer(Protocol):
    """A loaded model that scores; used from one thread only.

    Attributes:
        batch_tokens: Tokens, padding included, that one call does best with.
    """

    batch_tokens: int

    def scores(self, prompts: Sequence[Prompt]) -> list[float]:
        """Raw logits, in the order of the prompts.

        Args:
            prompts: Token ids, none empty, none longer than the scorer was opened for.

        Raises:
            EngineError: The device ran out of memory, or the library failed.
        """
        ...

    def close(self) -> None:
        """Frees the device."""
        ...


OpenScorer = Callable[[ModelSource, EngineOptions, int], Scorer]
"""Loads a fetched model for prompts of so many tokens at most."""


def check_scorer(source: ModelSource, options: EngineOptions) -> None:
    """Looks whether a model is one that scores, and fits here. Loads no weights.

    Args:
        source: A model whose configuration is here.
        options: How it is to be loaded.

    Raises:
        ModelError: It is of another kind, or gives more than one score a row.
        DeviceError: Its weights do not fit.
        UserError: vLLM is asked for and cannot run here.
    """
    import_torch()
    with importing():
        from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source.path, trust_remote_code=options.trust_model_code)
    except (OSError, ValueError, KeyError) as error:
        said = one_line(error, 500)
        raise ModelError(f"The configuration of {source.name} does not load: {said}") from error
    kinds = list(config.architectures or ["model of no declared kind"])
    if not any("ForSequenceClassification" in kind for kind in kinds):
        raise ModelError(f"{source.name} is a {kinds[0]}; {KIND}.")
    if config.num_labels != 1:
        raise ModelError(f"{source.name} gives {config.num_labels} scores a row; {KIND}.")
    _check_fit(source, options)
    if options.engine == "vllm" and (obstacle := backend("vllm").obstacle(find_device())):
        raise UserError(f"engine: vllm cannot run here: {obstacle}; set engine: auto.")


def open_scorer(source: ModelSource, options: EngineOptions, max_tokens: int) -> Scorer:
    """Loads a model: in vLLM where there is a GPU and vLLM has the architecture, else transformers.

    Args:
        source: A fetched model that `check_scorer` let pass.
        options: How it is loaded; `engine` "vllm" or "transformers" decides which scorer.
        max_tokens: Tokens of the longest prompt to come.

    Raises:
        UserError: vLLM is asked for and cannot take the model or a setting.
        ModelError: The model cannot be loaded.
        DeviceError: It does not fit.
        EngineError: vLLM did not start.
    """
    device = find_device()
    wanted = options.engine == "vllm" or (options.engine == "auto" and bool(device.gpus))
    if wanted and backend("vllm").obstacle(device) is None:
        from magpie_hub.judges.scorers.vllm import VllmScorer, serves

        if serves(source):
            return VllmScorer.load(source, options, max_tokens)
        if options.engine == "vllm":
            raise UserError(f"engine: vllm has no {source.name}'s architecture; set engine: auto.")
    from magpie_hub.judges.scorers.transformers import TransformersScorer

    return TransformersScorer.load(source, options, max_tokens)


def batches(
    items: Sequence[Item], length: Callable[[Item], int], tokens: int
) -> Iterator[list[Item]]:
    """Splits items into batches of like length, longest first: what is too much fails at once.

    Args:
        items: In any order.
        length: Tokens of an item.
        tokens: Most tokens of a batch, its padding counted; a longer item goes alone.
    """
    batch: list[Item] = []
    for item in sorted(items, key=length, reverse=True):
        if batch and length(batch[0]) * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


class ScorerThread:
    """A scorer seen from an event loop.

    Attributes:
        batch_tokens: The scorer's.
    """

    def __init__(self, scorer: Scorer, executor: ThreadPoolExecutor) -> None:
        self.batch_tokens = scorer.batch_tokens
        self._scorer = scorer
        self._executor = executor

    async def scores(self, prompts: Sequence[Prompt]) -> list[float]:
        """As `Scorer.scores`, while the loop lives on."""
        return await asyncio.wrap_future(self._executor.submit(self._scorer.scores, prompts))


@asynccontextmanager
async def own_thread(load: Callable[[], Scorer]) -> AsyncIterator[ScorerThread]:
    """Loads a scorer, runs it and frees it on one thread, which vLLM wants.

    The scorer is freed when the block is left, also by a cancellation while it still loads.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix="magpie-scorer")
    loading = executor.submit(load)
    try:
        yield ScorerThread(await asyncio.wrap_future(loading), executor)
    finally:
        await asyncio.wrap_future(executor.submit(_close, loading))
        executor.shutdown(wait=False)


def _close(loading: Future[Scorer]) -> None:
    if not loading.cancelled() and loading.exception() is None:
        loading.result().close()


def _check_fit(source: ModelSource, options: EngineOptions) -> None:
    device = find_device()
    if options.dtype != "auto":
        held = options
    else:
        held = EngineOptions(dtype="bfloat16" if device.gpus else "float32")
    weights = weight_bytes(source, held)
    if weights is None:
        return
    gpus = options.tensor_parallel_size or 1
    needed = weights + (GPU_WORKSPACE * gpus if device.gpus else CPU_WORKSPACE)
    usable = usable_bytes(options, device, gpus)
    if needed > usable:
        raise DeviceError(
            f"{source.name} needs about {needed / GIB:.1f} GiB and {usable / GIB:.1f} GiB can be "
            f"used of {device.label}; name a smaller reward model, label on a machine that holds "
            "it, or switch this judge off."
        )
