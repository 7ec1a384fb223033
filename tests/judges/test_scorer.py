"""Scorers: one number per prompt, whatever the batches and the engine."""

from __future__ import annotations

import importlib.util
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.errors import EngineError
from magpie_hub.judges.conversation import Conversations
from magpie_hub.judges.scorers.base import batches
from magpie_hub.models.source import fetch, pin
from magpie_hub.recipe.engine import EngineOptions
from tests.judges.tiny_judges import some_rows, tokenizer_of, write_reward_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reward_model(tmp_path_factory.mktemp("reward"))


@given(st.lists(st.integers(1, 40)), st.integers(1, 200))
def test_batches_hold_every_item_once_within_their_bound(lengths: list[int], tokens: int) -> None:
    made = list(batches(lengths, lambda length: length, tokens))
    assert sorted(length for batch in made for length in batch) == sorted(lengths)
    for batch in made:
        assert len(batch) == 1 or max(batch) * len(batch) <= tokens
    assert [max(batch) for batch in made] == sorted((max(b) for b in made), reverse=True)


class Cramped:
    """A model on a device that holds two rows, of which none over 100 tokens."""

    def __init__(self, model: Any) -> None:
        self.config, self.device, self._model = model.config, model.device, model

    def __call__(self, input_ids: Any, **more: Any) -> Any:
        import torch

        if input_ids.shape[0] > 2 or input_ids.shape[1] > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._model(input_ids=input_ids, **more)


def test_a_batch_that_the_device_cannot_hold_is_halved(model: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    from magpie_hub.judges.scorers.transformers import TransformersScorer

    loaded = AutoModelForSequenceClassification.from_pretrained(model, dtype="float32")
    prompts = [list(range(10, 10 + length)) for length in (40, 7, 33, 21, 5)]
    scores = TransformersScorer(Cramped(loaded), 4096).scores(prompts)
    np.testing.assert_allclose(scores, TransformersScorer(loaded, 4096).scores(prompts), atol=1e-4)
    with pytest.raises(EngineError, match="a row of 101 tokens; set its max_model_len lower"):
        TransformersScorer(Cramped(loaded), 4096).scores([[5] * 40, [5] * 101])


@pytest.mark.engine
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vLLM")
def test_vllm_scores_as_transformers_does(tmp_path: Path, model: Path) -> None:
    from magpie_hub.engines.device import find_device
    from magpie_hub.engines.registry import backend
    from magpie_hub.judges.scorers.transformers import TransformersScorer
    from magpie_hub.judges.scorers.vllm import serves

    device = find_device()
    if obstacle := backend("vllm").obstacle(device):
        pytest.skip(obstacle)
    source = fetch(pin(str(model)), tmp_path)
    assert serves(source)
    options = EngineOptions(engine="vllm", dtype="float32", enforce_eager=True)
    conversations = Conversations(tokenizer_of(model), "tiny")
    prompts = [conversations.encode(one.instruction, one.response or "") for one in some_rows()]
    # One that ends with the padding token, before which a score is read, and one that fills the
    # context.
    prompts.append((*prompts[0], tokenizer_of(model).pad_token_id))
    prompts.append((prompts[1] * 512)[:512])
    expected = TransformersScorer.load(source, options, 512).scores(prompts)
    # One process holds one vLLM core, and this one may hold the other tests'.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        scores, threads = process.submit(vllm_scores, source, options, prompts).result()
    np.testing.assert_allclose(scores, expected, atol=1e-2)
    assert np.std(expected) > 0.1
    assert threads[0] == threads[1]


def vllm_scores(source: Any, options: Any, prompts: Any) -> tuple[list[float], tuple[int, int]]:
    """Scores with vLLM in this process, and torch's threads before and after."""
    import torch

    from magpie_hub.judges.scorers.vllm import VllmScorer

    before = torch.get_num_threads()
    scorer = VllmScorer.load(source, options, 512)
    try:
        scores = scorer.scores(prompts)
    finally:
        scorer.close()
    return scores, (before, torch.get_num_threads())
