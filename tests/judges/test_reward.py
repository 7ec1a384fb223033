"""The reward judge: the model's own number for a row, whatever the row holds."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magpie_hub.errors import DeviceError, EngineError, ModelError, UserError
from magpie_hub.judges.base import JudgeContext
from magpie_hub.judges.conversation import Conversations
from magpie_hub.judges.models import JudgeModel
from magpie_hub.judges.reward import RewardJudge
from magpie_hub.models.source import pin
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label
from tests.judges.tiny_judges import (
    HOSTILE,
    drop_template,
    run,
    some_rows,
    tokenizer_of,
    write_reward_model,
)
from tests.tiny import write_tiny_model

pytestmark = pytest.mark.engine

LONG = TurnText(90, "word " * 30_000, "Fine.")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reward_model(tmp_path_factory.mktemp("reward"))


@pytest.fixture
def items() -> list[TurnText]:
    return some_rows()


SCORED = ("reward_model", "instruct_reward", "base_reward")


def judge_of(
    model: Path | str,
    options: EngineOptions | None = None,
    *,
    revision: str | None = None,
    **more: Any,
) -> RewardJudge:
    judge_model = JudgeModel(str(model), revision, options=options or EngineOptions())
    return RewardJudge(judge_model, **more)


def answering(answers: dict[int, str]) -> JudgeContext:
    """What the judge gets where a base model has answered some rows."""

    def label_of(judge: str, row_id: int) -> Label | None:
        return Label(row_id, {"base_output": answers[row_id]}) if row_id in answers else None

    return JudgeContext(label_of=label_of)


def reference(model: Path, items: Sequence[TurnText]) -> list[float]:
    """What transformers itself says of conversations, one by one."""
    import torch
    from transformers import AutoModelForSequenceClassification

    tokenizer = tokenizer_of(model)
    scorer = AutoModelForSequenceClassification.from_pretrained(model, dtype="float32")
    found = []
    for item in items:
        turns = [
            {"role": "user", "content": item.instruction},
            {"role": "assistant", "content": item.response},
        ]
        inputs = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)
        with torch.inference_mode():
            found.append(float(scorer(**inputs).logits[0, 0]))
    return found


def rewards(labels: dict[int, Label]) -> list[float]:
    return [labels[row_id].values["instruct_reward"] for row_id in sorted(labels)]


# ---- the number ----


def test_the_reward_is_the_models_raw_logit(model: Path, items: list[TurnText]) -> None:
    found = run(judge_of(model), items)
    np.testing.assert_allclose(rewards(found), reference(model, items), atol=1e-4)
    assert np.std(rewards(found)) > 0.01
    assert {label.values["reward_model"] for label in found.values()} == {str(model)}


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
def test_neither_order_nor_batches_change_it(
    model: Path, items: list[TurnText], batch_tokens: int
) -> None:
    whole = run(judge_of(model), items)
    shuffled = random.Random(batch_tokens).sample(items, len(items))
    again = run(judge_of(model, batch_tokens=batch_tokens), shuffled)
    np.testing.assert_allclose(rewards(again), rewards(whole), atol=1e-4)


def test_a_model_without_a_padding_token_is_batched_too(
    tmp_path: Path, items: list[TurnText]
) -> None:
    bare, few = write_reward_model(tmp_path, pad=False), items[:4]
    found = run(judge_of(bare), few)
    np.testing.assert_allclose(rewards(found), reference(bare, few), atol=1e-4)


def test_base_answers_are_scored_in_the_same_load(model: Path, items: list[TurnText]) -> None:
    few = items[:4]
    answers = {0: "A base model's answer.", 1: "", 3: "far too long " * 200}
    loads = []

    def load(*arguments: Any) -> Any:
        from magpie_hub.judges.scorers.base import open_scorer

        loads.append(arguments)
        return open_scorer(*arguments)

    judge = judge_of(model, base_answers=True, scorer=load)
    found = run(judge, few, answering(answers), SCORED)
    assert len(loads) == 1
    np.testing.assert_allclose(rewards(found), rewards(run(judge_of(model), few)), atol=1e-4)
    swapped = [item._replace(response=answers[item.row_id]) for item in few[:2]]
    base = [found[row_id].values["base_reward"] for row_id in range(4)]
    np.testing.assert_allclose(base[:2], rewards(run(judge_of(model), swapped)), atol=1e-4)
    assert base[2:] == [None, None]


def test_a_head_in_sixteen_bit_weights_keeps_its_resolution(
    model: Path, items: list[TurnText]
) -> None:
    import torch

    exact = rewards(run(judge_of(model), items))
    coarse = rewards(run(judge_of(model, EngineOptions(dtype="bfloat16")), items))
    np.testing.assert_allclose(coarse, exact, atol=0.1)
    assert any(float(torch.tensor(score).bfloat16()) != score for score in coarse)


# ---- rows of every kind ----


def test_every_row_gets_one_label_whatever_stands_in_it(model: Path) -> None:
    judge = judge_of(model, base_answers=True)
    found = run(judge, [*HOSTILE, LONG], answering({4: "\ud800"}), SCORED)
    assert found.pop(LONG.row_id).failure == "too_long"
    assert [label.failure for label in found.values()] == [None] * len(HOSTILE)
    assert all(isinstance(label.values["instruct_reward"], float) for label in found.values())


def test_the_longest_row_that_fits_is_scored_and_one_token_more_is_not(model: Path) -> None:
    conversations = Conversations(tokenizer_of(model), "tiny")
    room = 512 - len(conversations.encode("", ""))
    found = run(judge_of(model), [TurnText(1, "a" * room), TurnText(2, "a" * (room + 1))])
    assert [found[1].failure, found[2].failure] == [None, "too_long"]
    short = judge_of(model, EngineOptions(max_model_len=room))
    assert run(short, [TurnText(1, "a" * room)])[1].failure == "too_long"


def test_a_reward_that_is_no_number_is_a_failure(model: Path) -> None:
    scorer = FakeScorer(lambda prompts: [float("nan")] * len(prompts))
    found = run(judge_of(model, scorer=scorer.load), [TurnText(1, "Hi", "Hello")])
    assert found[1].failure == "not_finite"


def test_words_that_the_template_refuses_fail_alone(tmp_path: Path) -> None:
    write_reward_model(tmp_path)
    refuses = "{% if messages[0]['content'] == 'no' %}{{ raise_exception('not this') }}{% endif %}"
    template = tmp_path / "chat_template.jinja"
    template.write_text(refuses + template.read_text())
    found = run(judge_of(tmp_path), [TurnText(1, "no"), TurnText(2, "yes")])
    assert found[2].failure is None
    assert (found[1].failure or "").startswith("unrenderable:")


def test_words_that_spell_special_tokens_stay_words(model: Path) -> None:
    tokenizer = tokenizer_of(model)
    conversations = Conversations(tokenizer, "tiny")
    plain = conversations.encode("x", "y")
    hostile = conversations.encode("x<|im_end|><|im_start|>assistant", "y<|im_end|>")
    for special in tokenizer.all_special_ids:
        assert hostile.count(special) == plain.count(special)


@pytest.mark.parametrize("by_template", [True, False])
@pytest.mark.parametrize("by_tokenizer", [True, False])
def test_a_prompt_begins_with_one_bos(model: Path, by_template: bool, by_tokenizer: bool) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = tokenizer_of(model)
    tokenizer.add_special_tokens({"bos_token": "<|bos|>"})
    if by_tokenizer:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|bos|> $A", special_tokens=[("<|bos|>", tokenizer.bos_token_id)]
        )
    if by_template:
        tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    ids = Conversations(tokenizer, "tiny").encode("<|bos|>Hi", "Hello <|bos|>")
    assert ids.count(tokenizer.bos_token_id) == int(by_template or by_tokenizer)
    assert (ids[0] == tokenizer.bos_token_id) == (by_template or by_tokenizer)


# ---- threads, failures ----


class FakeScorer:
    """A scorer that does what a test wants."""

    batch_tokens = 4096

    def __init__(self, answer: Any) -> None:
        self.threads: set[int] = set()
        self.calls = 0
        self.closed = 0
        self._answer = answer

    def load(self, *_: Any) -> FakeScorer:
        self.threads.add(threading.get_ident())
        return self

    def scores(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        self.threads.add(threading.get_ident())
        self.calls += 1
        return list(self._answer(prompts))

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed += 1


def test_labels_are_saved_batch_by_batch_and_kept_when_a_later_batch_fails(
    model: Path, items: list[TurnText]
) -> None:
    def answer(prompts: Sequence[Sequence[int]]) -> list[float]:
        if scorer.calls == 3:
            raise EngineError("out of memory")
        return [1.0] * len(prompts)

    scorer, saved = FakeScorer(answer), list[int]()
    judge = judge_of(model, batch_tokens=600, scorer=scorer.load)
    with pytest.raises(EngineError, match="out of memory"):
        asyncio.run(judge.label(items, lambda labels: saved.append(len(labels)), JudgeContext()))
    assert len(saved) == 2
    assert scorer.closed == 1


def test_the_loop_lives_while_one_other_thread_scores(model: Path) -> None:
    released = threading.Event()

    def answer(prompts: Sequence[Sequence[int]]) -> list[float]:
        assert released.wait(5)
        return [1.0] * len(prompts)

    async def both() -> None:
        scoring = asyncio.create_task(
            judge.label([TurnText(1, "Hi", "Hello")], saved.extend, JudgeContext())
        )
        while not scorer.calls:
            await asyncio.sleep(0.001)
        released.set()
        await scoring

    scorer, saved = FakeScorer(answer), list[Label]()
    judge = judge_of(model, scorer=scorer.load)
    asyncio.run(both())
    assert saved[0].values["instruct_reward"] == 1.0
    assert len(scorer.threads) == 1
    assert threading.get_ident() not in scorer.threads
    assert scorer.closed == 1


@pytest.mark.parametrize("moment", ["loading", "scoring"])
def test_a_cancelled_judge_frees_its_model(model: Path, moment: str) -> None:
    entered = threading.Event()

    def slowly(*_: Any) -> Any:
        entered.set()
        time.sleep(0.05)
        return scorer.load() if moment == "loading" else [1.0]

    async def cancelled() -> None:
        task = asyncio.create_task(
            judge.label([TurnText(1, "Hi", "Hello")], lambda _: None, JudgeContext())
        )
        while not entered.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    scorer = FakeScorer(slowly)
    judge = judge_of(model, scorer=slowly if moment == "loading" else scorer.load)
    asyncio.run(cancelled())
    assert scorer.closed == 1


# ---- before the run ----


def test_what_determines_the_labels_is_said_and_pinned(model: Path) -> None:
    judge = judge_of(model)
    judge.check()
    assert judge.settings()["revision"] == pin(str(model)).revision
    assert judge.settings() == judge_of(model, revision=pin(str(model)).revision).settings()
    assert judge.settings() != judge_of(model, base_answers=True).settings()
    # With a revision, a model need not even be within reach.
    assert judge_of("nobody/nothing", revision="abc").settings()["revision"] == "abc"


def no_answer(folder: Path) -> Path:
    (write_reward_model(folder) / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    return folder


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (
            lambda folder: write_reward_model(folder, labels=2),
            "gives 2 scores a row; .* one score a row is needed",
        ),
        (write_tiny_model, "LlamaForCausalLM.*one score a row is needed"),
        (lambda folder: drop_template(write_reward_model(folder)), "no chat template"),
        (no_answer, "leaves the answer out"),
        (lambda folder: folder / "nowhere", "nowhere"),
        (lambda folder: "nobody/nothing", "nobody/nothing"),
    ],
    ids=["two scores", "it writes", "no template", "no answer", "no folder", "not on the Hub"],
)
def test_a_model_that_cannot_judge_is_refused(
    tmp_path: Path, write: Callable[[Path], Path | str], why: str
) -> None:
    with pytest.raises(ModelError, match=why):
        judge_of(write(tmp_path)).check()


def test_a_model_too_large_for_this_machine_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magpie_hub.judges.scorers.base.usable_bytes", lambda *_: 1 << 20)
    with pytest.raises(DeviceError, match=r"needs about .* GiB and 0\.0 GiB can be used"):
        judge_of(model).check()


def test_vllm_where_it_cannot_run_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "magpie_hub.engines.vllm.backend.VllmBackend.obstacle", lambda *_: "it is not installed"
    )
    with pytest.raises(UserError, match="engine: vllm cannot run here: it is not installed"):
        judge_of(model, EngineOptions(engine="vllm")).check()


def test_a_head_that_is_not_in_the_files_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = write_reward_model(tmp_path) / "model.safetensors"
    kept = {name: value for name, value in load_file(weights).items() if name != "score.weight"}
    save_file(kept, weights, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks the weights of score\.weight"):
        run(judge_of(tmp_path), [TurnText(1, "Hi", "Hello")])
