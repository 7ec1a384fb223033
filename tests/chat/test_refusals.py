"""What cannot be derived is refused in one line that says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from magpie_hub.chat.derive import derive
from magpie_hub.errors import ChatFormatError, UserError
from magpie_hub.recipe.chat import ChatOptions

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ WORDS }}<|im_end|>\n{% endfor %}"
OPEN = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(ChatFormatError) as caught:
        act()
    message = str(caught.value)
    assert isinstance(caught.value, UserError)
    assert len(message.splitlines()) == 1
    assert "chat." in message
    return message


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "no chat template"),
        ("{{ raise_exception('Not\nfor you') }}", "refuses a conversation of 1 turn: Not for you"),
        ("{% if %}", "refuses a conversation"),
        ("<|im_start|>user\nhello<|im_end|>\n" + OPEN, "drops or changes the words"),
        (TURNS.replace("WORDS", "m.content | upper") + OPEN, "drops or changes the words"),
        (TURNS.replace("WORDS", "m.content ~ m.content") + OPEN, "repeats the words"),
        ("{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}" + OPEN, "is empty"),
        ("<|endoftext|>{% for m in messages %}s{{ m.content }}<|im_end|>{% endfor %}", "fuses"),
        ("<|bos|><|bos|>" + TURNS.replace("WORDS", "m.content") + OPEN, "twice"),
    ],
    ids=["none", "raises", "syntax", "no words", "changed", "doubled", "empty", "fused", "two bos"],
)
def test_templates(make: Any, template: str | None, said: str) -> None:
    tokenizer = make("qwen2", template=template, bos="<|bos|>", adds_bos=True)
    assert said in refusal(lambda: derive(tokenizer))


def test_a_variable_that_a_template_misses_can_be_given(make: Any) -> None:
    template = "{% if limits.words > 3 %}" + TURNS.replace("WORDS", "m.content") + "{% endif %}"
    tokenizer = make("qwen2", template=template + OPEN)
    said = refusal(lambda: derive(tokenizer))
    assert "'limits' is undefined (chat.template_kwargs can give it)" in said
    given = ChatOptions(template_kwargs={"limits": {"words": 5}})
    chat = derive(tokenizer, options=given)
    assert chat.decode(chat.pre_query) == "<|im_start|>user\n"


def test_a_tokenizer_that_changes_the_template_s_text(make: Any) -> None:
    from tokenizers import normalizers

    tokenizer = make("alpaca")
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert "cannot spell it" in refusal(lambda: derive(tokenizer))


def test_a_stop_that_is_not_one_token(make: Any) -> None:
    options = ChatOptions(stop=("the end of it",))
    assert "'the end of it'" in refusal(lambda: derive(make("qwen2"), options=options))


def test_nothing_that_ends_a_turn(make: Any) -> None:
    tokenizer = make("alpaca")
    tokenizer.eos_token = None
    assert "chat.stop" in refusal(lambda: derive(tokenizer))
    assert derive(tokenizer, generation_eos=[7]).stop_ids == (7,)


def test_a_piece_that_no_template_can_give(make: Any) -> None:
    tokenizer = make("vicuna", template=None)
    one = derive(tokenizer, options=ChatOptions(pre_query="Q: ", post_query="\nA:"))
    assert "chat.next_query" in refusal(lambda: one.next_query)
    assert "no chat template" in refusal(
        lambda: derive(tokenizer, options=ChatOptions(pre_query="Q: "))
    )


def test_a_single_turn_template_serves_single_turns(make: Any) -> None:
    template = (
        "{% if messages | length > 1 %}{{ raise_exception('one question only') }}{% endif %}"
        + TURNS.replace("WORDS", "m.content")
        + OPEN
    )
    tokenizer = make("qwen2", template=template)
    chat = derive(tokenizer)
    assert chat.decode(chat.query_prompt()) == "<|im_start|>user\n"
    assert chat.to_json()["next_query"] is None
    message = refusal(lambda: chat.query_prompt([((5,), (6,))]))
    assert "2 turns" in message
    assert "one question only" in message
    assert chat.decode(chat.pre_query_with("Be brief.")) == "<|im_start|>user\nBe brief.\n\n"


def test_a_system_prompt_that_the_template_changes(make: Any) -> None:
    words = "m.content | replace('loud', 'soft')"
    tokenizer = make("qwen2", template=TURNS.replace("WORDS", words) + OPEN)
    chat = derive(tokenizer)
    assert chat.supports_system
    assert "system prompt" in refusal(lambda: chat.pre_query_with("Be loud."))


def test_a_template_that_drops_the_system_role_gets_it_in_the_first_words(make: Any) -> None:
    template = (
        "{% for m in messages %}{% if m.role != 'system' %}<|im_start|>{{ m.role }}\n"
        "{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}" + OPEN
    )
    chat = derive(make("qwen2", template=template))
    assert chat.system_style == "prefixed"
    assert chat.decode(chat.pre_query_with("Be brief.")) == "<|im_start|>user\nBe brief.\n\n"


def test_a_template_that_is_not_the_same_each_turn_is_followed_turn_by_turn(make: Any) -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }} {{ loop.index }}:\n{{ m.content }}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant "
        "{{ messages | length + 1 }}:\n{% endif %}"
    )
    tokenizer = make("qwen2", template=template)
    chat = derive(tokenizer)
    word = tuple(tokenizer("the", add_special_tokens=False)["input_ids"])
    text = chat.decode(chat.answer_prompt([(word, word)] * 4, word))
    assert (
        text
        == "".join(
            f"<|im_start|>{'assistant' if n % 2 == 0 else 'user'} {n}:\nthe<|im_end|>\n"
            for n in range(1, 10)
        )
        + "<|im_start|>assistant 10:\n"
    )
