"""Every shape of the corpus, token for token: prompts, stops, thoughts, and what is left."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.chat.derive import derive
from magpie_hub.chat.format import ChatFormat
from magpie_hub.recipe.chat import ChatOptions
from tests.chat.corpus import NOTHINK, SHAPES, Shape

THINKING = [shape for shape in SHAPES if shape.post_on is not None]


@pytest.fixture(scope="module")
def derived(make: Any) -> Any:
    """`derived(shape, thinking)` gives its tokenizer and format, derived once."""
    known: dict[tuple[str, bool], tuple[Any, ChatFormat]] = {}

    def of(shape: Shape, thinking: bool = False) -> tuple[Any, ChatFormat]:
        key = (shape.name, thinking)
        if key not in known:
            plain = {"special": (), "eos": "</s>", **shape.make, "template": shape.template}
            tokenizer = make("alpaca", **plain)
            options = ChatOptions(thinking=thinking, **shape.options)
            known[key] = tokenizer, derive(tokenizer, options=options)
        return known[key]

    return of


def ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def after(tokenizer: Any, text: str) -> tuple[int, ...]:
    word = ids(tokenizer, "poem")
    whole = ids(tokenizer, "poem" + text)
    assert whole[: len(word)] == word
    return whole[len(word) :]


def tokens(tokenizer: Any, texts: tuple[str, ...]) -> set[int]:
    return set(tokenizer.convert_tokens_to_ids(list(texts)))


def by_name(shapes: list[Shape]) -> Any:
    return pytest.mark.parametrize("shape", shapes, ids=lambda shape: shape.name)


@by_name(SHAPES)
def test_prompts(derived: Any, shape: Shape) -> None:
    tokenizer, chat = derived(shape)
    assert chat.pre_query == ids(tokenizer, shape.pre)
    assert chat.decode(chat.post_query) == shape.post
    assert chat.post_query == after(tokenizer, shape.post)
    assert chat.next_query == after(tokenizer, shape.follow)


@by_name([shape for shape in SHAPES if shape.system_pre])
def test_system_prompt(derived: Any, shape: Shape) -> None:
    tokenizer, chat = derived(shape)
    assert chat.pre_query_with("Be brief.") == ids(tokenizer, shape.system_pre or "")


@by_name(SHAPES)
def test_bos_stands_where_the_template_or_the_tokenizer_puts_it_and_nowhere_else(
    derived: Any, shape: Shape
) -> None:
    tokenizer, chat = derived(shape)
    if (bos := tokenizer.bos_token) is not None:
        assert chat.pre_query.count(tokenizer.bos_token_id) == shape.pre.count(bos) == 1


@by_name(SHAPES)
def test_what_ends_a_turn(derived: Any, shape: Shape) -> None:
    tokenizer, chat = derived(shape)
    assert set(chat.stop_ids) == tokens(tokenizer, shape.stops)
    assert chat.answer_stop_ids == chat.stop_ids
    if shape.markers is not None:
        assert chat.markers == shape.markers


@by_name(SHAPES)
def test_thinking_is_switched_by_the_template_s_own_variable(derived: Any, shape: Shape) -> None:
    _, chat = derived(shape)
    assert dict(chat.switch) == shape.switch
    if shape.post_on is not None:
        _, chat = derived(shape, True)
        assert dict(chat.switch) == shape.switch_on


@by_name(THINKING)
def test_prompt_and_stops_with_thinking(derived: Any, shape: Shape) -> None:
    tokenizer, chat = derived(shape, True)
    assert shape.post_on is not None
    assert chat.decode(chat.post_query) == shape.post_on
    assert chat.post_query == after(tokenizer, shape.post_on)
    assert set(chat.answer_stop_ids) == tokens(tokenizer, shape.answer_stops or shape.stops)


@by_name(THINKING)
def test_what_opens_and_closes_a_thought(derived: Any, shape: Shape) -> None:
    for thinking in (False, True):
        _, chat = derived(shape, thinking)
        assert (chat.thinking.open, chat.thinking.close) == shape.marks
        assert chat.thinking.known


@by_name([shape for shape in SHAPES if shape.off])
def test_what_is_left_of_an_answer_that_should_not_think(derived: Any, shape: Shape) -> None:
    tokenizer, chat = derived(shape)
    for text, left in shape.off.items():
        said = chat.said("assistant", ids(tokenizer, text))
        assert (chat.decode(said.ids).strip(), said.fault) == left


@by_name([shape for shape in SHAPES if shape.on])
def test_what_is_left_of_an_answer_with_thinking(derived: Any, shape: Shape) -> None:
    tokenizer, chat = derived(shape, True)
    for text, left in shape.on.items():
        said = chat.said("assistant", ids(tokenizer, text))
        assert (chat.decode(said.ids).strip(), said.fault) == left, text
        if said.fault is None:
            assert chat.special_ids.isdisjoint(said.ids)
            assert chat.visible(ids(tokenizer, text)) == said.ids


@by_name([shape for shape in SHAPES if shape.user])
def test_what_is_left_of_a_user_s_turn(derived: Any, shape: Shape) -> None:
    tokenizer, chat = derived(shape)
    for text, left in shape.user.items():
        kept, _ = chat.cut_query(ids(tokenizer, text))
        assert chat.decode(chat.trim(kept)).strip() == left, text


@by_name(SHAPES)
def test_a_prompt_of_two_turns_is_its_parts(derived: Any, shape: Shape) -> None:
    tokenizer, chat = derived(shape)
    query, answer = ids(tokenizer, "the sea"), ids(tokenizer, "I think so")
    prompt = chat.decode(chat.query_prompt([(query, answer)]))
    assert prompt.startswith(shape.pre + "the sea")
    assert prompt.endswith("I think so" + shape.follow)
    again = chat.decode(chat.answer_prompt([(query, answer)], query))
    assert again == f"{prompt}the sea{shape.post}"


WORDS = (
    st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters="<>[]|"))
    .map(lambda text: " ".join(text.split()))
    .filter(bool)
)


@pytest.mark.parametrize("shape", THINKING, ids=lambda shape: shape.name)
@settings(max_examples=15, deadline=None)
@given(thought=WORDS, answer=WORDS)
def test_whatever_the_words_the_answer_is_left(
    derived: Any, shape: Shape, thought: str, answer: str
) -> None:
    tokenizer, chat = derived(shape, True)
    begins = "" if chat.thinking.opened else chat.thinking.open
    text = f"{begins}\n{thought}\n{chat.thinking.close}\n{answer}"
    said = chat.said("assistant", ids(tokenizer, text))
    assert (chat.decode(said.ids).strip(), said.fault) == (answer, None)
    cut = chat.said("assistant", ids(tokenizer, f"{begins}\n{thought}"))
    assert (cut.ids, cut.fault) == ((), "unfinished_thinking")


@settings(max_examples=30, deadline=None)
@given(words=WORDS)
def test_the_word_that_says_not_to_think_is_no_word_of_the_user_s(derived: Any, words: str) -> None:
    tokenizer, chat = derived(NOTHINK, False)
    kept, _ = chat.cut_query(ids(tokenizer, f"{words}/nothink"))
    assert chat.decode(chat.trim(kept)).strip() == words
