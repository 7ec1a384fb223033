"""Properties that hold for whatever words a model writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.chat.derive import derive
from magpie_hub.chat.format import ChatFormat

# Words that no template trims, and that hold no mark or header of one.
WORDS = (
    st.text(
        st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters="<>[]|#:"),
        min_size=1,
        max_size=40,
    )
    .map(lambda text: " ".join(text.split()))
    .filter(bool)
)
MARKED = ["llama3", "llama3.1", "qwen2", "qwen2.5", "qwen3", "gemma2", "r1"]
RUNNING = ["llama2", "vicuna", "mistral-v0.3", "phi3"]
QUICK = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module")
def formats(make: Any) -> dict[str, tuple[Any, ChatFormat]]:
    return {name: (make(name), derive(make(name))) for name in [*MARKED, *RUNNING, "alpaca"]}


def ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def rendered(tokenizer: Any, words: list[str]) -> str:
    messages = [
        {"role": "assistant" if i % 2 else "user", "content": word} for i, word in enumerate(words)
    ]
    text = tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
        date_string="26 Jul 2024",
        strftime_now=lambda form: "2024-07-26",
    )
    return text + "\n</think>\n\n" if text.endswith("<think>\n") else text


@pytest.mark.parametrize("name", MARKED)
@QUICK
@given(words=st.lists(WORDS, min_size=3, max_size=3))
def test_between_marks_prompts_are_the_render_token_for_token(
    formats: Any, name: str, words: list[str]
) -> None:
    tokenizer, chat = formats[name]
    query, answer, again = (ids(tokenizer, word) for word in words)
    single = chat.answer_prompt([], query)
    double = chat.answer_prompt([(query, answer)], again)
    assert tuple(single) == ids(tokenizer, rendered(tokenizer, words[:1]))
    assert tuple(double) == ids(tokenizer, rendered(tokenizer, words))


@pytest.mark.parametrize("name", [*MARKED, *RUNNING, "alpaca"])
@QUICK
@given(words=st.lists(WORDS, min_size=3, max_size=3))
def test_prompts_decode_to_the_render(formats: Any, name: str, words: list[str]) -> None:
    tokenizer, chat = formats[name]
    query, answer, again = (ids(tokenizer, word) for word in words)
    text = chat.decode(chat.answer_prompt([(query, answer)], again))
    if "bos_token" not in tokenizer.chat_template and tokenizer.bos_token:
        text = text.removeprefix(tokenizer.bos_token)
    # White space aside: a metaspace belongs to the words that it stands before.
    assert "".join(text.split()) == "".join(rendered(tokenizer, words).split())


@pytest.mark.parametrize("name", ["qwen2", "llama2"])
@QUICK
@given(data=st.data())
def test_trim_changes_nothing_but_the_ends(formats: Any, name: str, data: Any) -> None:
    tokenizer, chat = formats[name]
    spaces = st.lists(st.sampled_from(["\n", " ", "\n\n"]), max_size=3).map("".join)
    text = data.draw(spaces) + data.draw(WORDS) + data.draw(spaces)
    written = ids(tokenizer, text)
    trimmed = chat.trim(written)
    assert chat.trim(trimmed) == trimmed
    assert chat.decode(trimmed).strip() == chat.decode(written).strip()
    assert not trimmed or not chat.codec.is_space(trimmed[-1])


@pytest.mark.parametrize("name", ["llama2", "vicuna", "alpaca"])
@QUICK
@given(words=WORDS, run_on=WORDS)
def test_cut_query_keeps_the_words_and_nothing_after(
    formats: Any, name: str, words: str, run_on: str
) -> None:
    tokenizer, chat = formats[name]
    header = chat.segments(0, None).texts[1]
    kept, found = chat.cut_query(ids(tokenizer, f"{words}{header} {run_on}"))
    assert found
    assert chat.decode(kept) == words
    assert chat.cut_query(ids(tokenizer, words)) == (ids(tokenizer, words), False)
