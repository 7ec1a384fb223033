"""What a format does with the ids that a model wrote: trim, cut, join, decode, print."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from magpie_hub.chat.derive import derive
from magpie_hub.recipe.chat import ChatOptions


def ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_import_needs_no_model_library() -> None:
    code = (
        "import sys, magpie_hub.chat, magpie_hub.chat.format; "
        "print(any(name in sys.modules for name in ('torch', 'transformers', 'tokenizers')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_trim_takes_white_space_off_both_ends(make: Any) -> None:
    tokenizer = make("qwen2")
    chat = derive(tokenizer)
    words = ids(tokenizer, "Write it\n\nnow")
    padded = [*ids(tokenizer, "\n\n"), *words, *ids(tokenizer, "\n \n")]
    assert chat.trim(padded) == tuple(words)
    assert chat.trim_end(padded) == (*ids(tokenizer, "\n\n"), *words)
    assert chat.trim(ids(tokenizer, " \n")) == ()
    assert chat.trim([]) == ()


def test_trim_leaves_special_tokens(make: Any) -> None:
    tokenizer = make("qwen2")
    chat = derive(tokenizer)
    leaked = [*ids(tokenizer, "the sea"), *ids(tokenizer, "<|endoftext|>")]
    assert chat.trim(leaked) == tuple(leaked)


def test_trim_keeps_the_space_that_the_template_leaves_to_the_words(make: Any) -> None:
    tokenizer = make("llama2")
    chat = derive(tokenizer)
    zed = ids(tokenizer, "[INST] Zv")[len(ids(tokenizer, "[INST]")) :]
    assert chat.decode(zed[:1]).strip() == ""  # no token holds the space and the letter
    assert chat.trim(zed) == tuple(zed)
    newline = ids(tokenizer, "a\n")[-1:]
    assert chat.trim([*newline, *zed]) == tuple(zed[1:])


def test_decode_shows_special_tokens_and_keeps_spaces(make: Any) -> None:
    tokenizer = make("qwen2")
    chat = derive(tokenizer)
    text = "the  sea , isn 't it ?<|im_end|>\n<|im_start|>assistant"
    assert chat.decode(ids(tokenizer, text)) == text
    assert chat.decode([]) == ""


@pytest.mark.parametrize(
    ("name", "header"),
    [("llama2", " [/INST]"), ("vicuna", " ASSISTANT:"), ("alpaca", "\n\n### Response:\n")],
)
def test_cut_query_stops_at_a_header_of_ordinary_tokens(make: Any, name: str, header: str) -> None:
    tokenizer = make(name)
    chat = derive(tokenizer)
    words = ids(tokenizer, "Explain the sea")
    run_on = ids(tokenizer, f"Explain the sea{header} I think")
    assert chat.cut_query(run_on) == (tuple(words), True)
    assert chat.cut_query(words) == (tuple(words), False)
    assert chat.cut_query(ids(tokenizer, header)) == ((), True)


def test_cut_query_finds_a_header_however_it_was_tokenised(make: Any) -> None:
    tokenizer = make("vicuna")
    chat = derive(tokenizer)
    words = ids(tokenizer, "the sea")
    letters = [token for letter in "ASSISTANT:" for token in ids(tokenizer, "a" + letter)[1:]]
    space = ids(tokenizer, "a ")[1:]
    assert chat.decode([*words, *space, *letters]) == "the sea ASSISTANT:"
    assert chat.cut_query([*words, *space, *letters]) == (tuple(words), True)


def test_cut_query_leaves_words_that_contain_a_header_s_letters(make: Any) -> None:
    tokenizer = make("vicuna", template=None)
    options = ChatOptions(pre_query="User: ", post_query="\nBot: ")
    chat = derive(tokenizer, options=options)
    words = ids(tokenizer, "the Robot: is it")
    assert chat.cut_query(words) == (tuple(words), False)


@pytest.mark.parametrize("name", ["llama3", "mistral-v0.3", "qwen3", "phi3"])
def test_cut_query_leaves_templates_that_end_a_turn_by_a_stop_token(make: Any, name: str) -> None:
    tokenizer = make(name)
    words = ids(tokenizer, "the assistant: is it [ /INST ]?")
    assert derive(tokenizer).cut_query(words) == (tuple(words), False)


def test_cut_answer_stops_at_the_next_user_header(make: Any) -> None:
    tokenizer = make("alpaca")
    chat = derive(tokenizer)
    run_on = ids(tokenizer, "the sea.\n\n### Instruction:\nWrite")
    assert chat.cut_answer(run_on) == (tuple(ids(tokenizer, "the sea.")), True)


@pytest.mark.parametrize("name", ["llama3", "qwen2.5", "llama2", "vicuna", "gemma2", "alpaca"])
def test_each_prompt_extends_the_one_before(make: Any, name: str) -> None:
    tokenizer = make(name)
    chat = derive(tokenizer)
    query, answer = ids(tokenizer, "the sea"), ids(tokenizer, "I think so")
    asked = chat.query_prompt()
    answered = chat.answer_prompt([], query)
    again = chat.query_prompt([(query, answer)])
    assert answered[: len(asked) + len(query)] == [*asked, *query]
    assert again[: len(answered) + len(answer)] == [*answered, *answer]


def test_to_json_is_plain_and_says_everything(make: Any) -> None:
    chat = derive(make("qwen3"))
    data = json.loads(json.dumps(chat.to_json()))
    assert data == chat.to_json()
    assert data["pre_query"] == {
        "ids": list(chat.pre_query),
        "text": "<|im_start|>user\n",
        "rendered": "<|im_start|>user\n",
    }
    assert data["post_query"]["text"].endswith("<think>\n\n</think>\n\n")
    assert data["history_post_query"]["text"].endswith("assistant\n")
    assert data["next_query"]["ids"] == list(chat.next_query)
    assert data["stop_tokens"] == ["<|im_end|>"]
    assert data["markers"][0] == "<|im_start|>assistant"
    assert data["system_style"] == "role"


def test_two_derivations_are_equal(make: Any) -> None:
    assert derive(make("llama2")) == derive(make("llama2"))
    assert derive(make("llama2")).to_json() == derive(make("llama2")).to_json()
