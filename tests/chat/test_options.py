"""What a recipe may say under `chat:`: template, date, thinking, pieces of text, stops."""

from __future__ import annotations

from typing import Any

import pytest

from magpie_hub.chat.derive import derive
from magpie_hub.recipe.chat import ChatOptions

CLOSED = "<think>\n\n</think>\n\n"


def ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def text_of(chat: Any, part: Any) -> str:
    return str(chat.decode(part))


def test_a_template_of_one_s_own(make: Any) -> None:
    own = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
    tokenizer = make("qwen2")
    chat = derive(tokenizer, options=ChatOptions(template=own))
    assert text_of(chat, chat.pre_query) == "<|im_start|>"
    assert text_of(chat, chat.post_query) == "<|im_end|><|im_start|>"
    assert text_of(chat, chat.next_query) == "<|im_end|><|im_start|>"


@pytest.mark.parametrize(
    ("date", "seen"),
    [
        ("01 Feb 2030", "Today Date: 01 Feb 2030\nDay: 2030-02-01"),
        ("May Day", "Today Date: May Day\nDay: May Day"),
    ],
)
def test_a_date_is_the_recipe_s_not_today_s(make: Any, date: str, seen: str) -> None:
    chat = derive(make("llama3.1"), options=ChatOptions(date=date))
    assert seen in text_of(chat, chat.pre_query)


def test_thinking_opens_what_the_template_opens(make: Any) -> None:
    tokenizer = make("r1")
    thinking = derive(tokenizer, options=ChatOptions(thinking=True))
    plain = derive(tokenizer)
    assert text_of(thinking, thinking.post_query).endswith("<think>\n")
    assert text_of(plain, plain.post_query).endswith(CLOSED)
    assert thinking.history_post_query == plain.history_post_query


def test_thinking_is_told_to_the_template(make: Any) -> None:
    chat = derive(make("qwen3"), options=ChatOptions(thinking=True))
    assert text_of(chat, chat.post_query).endswith("assistant\n")


@pytest.mark.parametrize("name", ["qwen3", "r1"])
def test_later_turns_leave_the_thinking_out(make: Any, name: str) -> None:
    tokenizer = make(name)
    chat = derive(tokenizer, options=ChatOptions(thinking=True))
    query, answer = ids(tokenizer, "the sea"), ids(tokenizer, "I think so")
    thought = (*ids(tokenizer, "<think>\nWhat is it\n</think>\n\n"), *answer)
    assert chat.visible(thought) == answer
    assert chat.query_prompt([(query, thought)]) == chat.query_prompt([(query, answer)])
    assert chat.visible(ids(tokenizer, "no end")) == ids(tokenizer, "no end")


def test_without_thinking_an_answer_stays_as_it_is(make: Any) -> None:
    tokenizer = make("qwen3")
    answer = ids(tokenizer, "the tag </think> ends it")
    assert derive(tokenizer).visible(answer) == answer


def test_thinking_marks_that_are_not_special_are_nobody_s_leak(make: Any) -> None:
    tokenizer = make("qwen3")
    assert not derive(tokenizer).special_ids & set(ids(tokenizer, "<think></think>"))


def test_pieces_in_place_of_a_missing_template(make: Any) -> None:
    tokenizer = make("vicuna", template=None)
    options = ChatOptions(
        pre_query="Q: ", post_query="\nAnswer:", next_query="</s>\nQ: ", stop=("</s>",)
    )
    chat = derive(tokenizer, options=options)
    bos = tokenizer.bos_token_id
    assert chat.pre_query == (bos, *ids(tokenizer, "Q:"))
    assert text_of(chat, chat.post_query).strip() == "Answer:"
    query, answer = ids(tokenizer, "the sea"), ids(tokenizer, "I think so")
    whole = "Q: the sea\nAnswer: I think so</s>\nQ: the sea\nAnswer:"
    prompt = chat.answer_prompt([(query, answer)], query)
    assert prompt == [bos, *ids(tokenizer, whole)]


def test_a_bos_written_by_hand_stays_the_only_one(make: Any) -> None:
    tokenizer = make("llama3", template=None)
    header = "<|start_header_id|>user<|end_header_id|>\n\n"
    for pre in (header, "<|begin_of_text|>" + header):
        chat = derive(tokenizer, options=ChatOptions(pre_query=pre, post_query="<|eot_id|>"))
        assert chat.pre_query == ids(tokenizer, "<|begin_of_text|>" + header)


def test_one_piece_overrides_and_the_template_gives_the_rest(make: Any) -> None:
    tokenizer = make("qwen3")
    derived = derive(tokenizer)
    chat = derive(tokenizer, options=ChatOptions(pre_query="<|im_start|>user\nIn verse: "))
    assert text_of(chat, chat.pre_query).startswith("<|im_start|>user\nIn verse:")
    assert chat.post_query == derived.post_query
    assert chat.history_post_query == derived.history_post_query
    assert chat.next_query == derived.next_query
    assert chat.system_style == "prefixed"
    assert text_of(chat, chat.pre_query_with("Be brief.")).endswith("verse: Be brief.\n\n")


def test_another_post_query_keeps_the_template_s_system_turn(make: Any) -> None:
    tokenizer = make("qwen2")
    post = "<|im_end|>\n<|im_start|>assistant\nSure:"
    chat = derive(tokenizer, options=ChatOptions(post_query=post))
    assert text_of(chat, chat.post_query) == post
    assert chat.history_post_query == chat.post_query
    assert chat.pre_query_with("Be brief.") == derive(tokenizer).pre_query_with("Be brief.")


def test_pieces_rescue_a_template_that_raises(make: Any) -> None:
    tokenizer = make("qwen2", template="{{ raise_exception('no') }}")
    chat = derive(
        tokenizer,
        options=ChatOptions(pre_query="<|im_start|>user\n", post_query="<|im_end|>\n"),
    )
    assert chat.pre_query == ids(tokenizer, "<|im_start|>user\n")


def test_extra_stops_by_their_text(make: Any) -> None:
    tokenizer = make("qwen2")
    chat = derive(tokenizer, options=ChatOptions(stop=("<|endoftext|>", "\n")))
    wanted = {*ids(tokenizer, "<|im_end|><|endoftext|>\n")}
    assert set(chat.stop_ids) == wanted


def test_an_end_mark_without_the_special_flag_still_stops(make: Any) -> None:
    marks = ("<start_of_turn>", "<end_of_turn>")
    tokenizer = make("gemma2", special=(), plain=marks)
    chat = derive(tokenizer)
    assert tokenizer.convert_tokens_to_ids("<end_of_turn>") in chat.stop_ids
    assert chat.special_ids >= set(tokenizer.convert_tokens_to_ids(list(marks)))


def test_an_empty_system_prompt_is_not_the_default_one(make: Any) -> None:
    chat = derive(make("qwen2.5"))
    assert text_of(chat, chat.pre_query_with("")) == (
        "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n"
    )
    gemma = derive(make("gemma2"))
    assert gemma.pre_query_with("") == gemma.pre_query
