"""The same templates under tokenizers of other makes: what is shared is found, not assumed."""

from __future__ import annotations

from typing import Any

import pytest

from magpie_hub.chat.derive import derive

MAKES: list[tuple[str, dict[str, Any]]] = [
    ("llama2", {"kind": "pieces, legacy"}),
    ("llama2", {"kind": "bytes"}),
    ("llama2", {"kind": "unigram", "eos": "</s>"}),
    ("mistral-v0.3", {"kind": "pieces, legacy"}),
    ("mistral-v0.3", {"kind": "bytes"}),
    ("vicuna", {"kind": "pieces, legacy"}),
    ("vicuna", {"kind": "bytes"}),
    ("vicuna", {"kind": "unigram"}),
    ("phi3", {"kind": "pieces, legacy", "eats_space": True}),
    ("phi3", {"eats_space": True}),
    ("llama3", {"kind": "pieces"}),
    ("qwen2", {"kind": "pieces, legacy"}),
    ("alpaca", {"kind": "pieces"}),
    ("alpaca", {"kind": "unigram"}),
    ("alpaca", {"kind": "pieces, legacy", "bos": "<s>", "adds_bos": True}),
]


@pytest.mark.parametrize(("name", "changes"), MAKES)
@pytest.mark.parametrize("turns", [0, 1, 3])
def test_prompts_are_the_whole_render(
    make: Any, name: str, changes: dict[str, Any], turns: int
) -> None:
    tokenizer = make(name, **changes)
    chat = derive(tokenizer)
    words = [f"Write {slot}w now" for slot in range(2 * turns + 1)]
    messages = [
        {"role": "assistant" if i % 2 else "user", "content": word} for i, word in enumerate(words)
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    if tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id != whole[0]:
        whole = [tokenizer.bos_token_id, *whole]
    segments = chat.segments(turns, None).ids
    spoken, at = [], len(segments[0])
    for part in segments[1:]:
        end = next(i for i in range(at, len(whole)) if tuple(whole[i : i + len(part)]) == part)
        spoken.append(tuple(whole[at:end]))
        at = end + len(part)
    pairs = list(zip(spoken[:-1:2], spoken[1::2], strict=True))
    assert chat.answer_prompt(pairs, spoken[-1]) == whole
    assert [chat.decode(ids).strip() for ids in spoken] == words


def test_a_mark_that_swallows_a_newline_leaves_none_to_the_template(make: Any) -> None:
    tokenizer = make("phi3", eats_space=True)
    chat = derive(tokenizer)
    names = tokenizer.convert_ids_to_tokens(list(chat.pre_query))
    assert names == ["<s>", "<|user|>"]
    assert chat.segments(0, None).texts[0] == "<|user|>\n"
