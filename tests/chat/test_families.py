"""What is derived, family by family: every segment token for token, stops, markers, system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from magpie_hub.chat.derive import derive

BAR = "\uff5c"
SYSTEM = "Be brief."


@dataclass(frozen=True)
class Expected:
    """Literal texts of a family's segments, as the model's format requires them.

    `pre` begins with the BOS where there is one. Where `history` or `system_next` is None it is
    as without history or system prompt.
    """

    name: str
    pre: str
    post: str
    follow: str
    stops: tuple[str, ...]
    markers: tuple[str, ...]
    style: str
    system_pre: str
    history: str | None = None
    system_pre_2: str | None = None
    system_follow: str | None = None


L3_USER = "<|start_header_id|>user<|end_header_id|>\n\n"
L3_ASSISTANT = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
L3_SYSTEM = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
L3_MARKERS = tuple(f"<|start_header_id|>{role}" for role in ("assistant", "user", "system"))
L31_DATES = "Today Date: 26 Jul 2024\nDay: 2024-07-26\n\n"
ML_MARKERS = tuple(f"<|im_start|>{role}" for role in ("assistant", "user", "system"))
ML_DEFAULT = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
ML: dict[str, Any] = {
    "post": "<|im_end|>\n<|im_start|>assistant\n",
    "follow": "<|im_end|>\n<|im_start|>user\n",
    "stops": ("<|im_end|>",),
    "markers": ML_MARKERS,
    "style": "role",
    "system_pre": f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n",
}

EXPECTED = [
    Expected(
        "llama3",
        pre="<|begin_of_text|>" + L3_USER,
        post=L3_ASSISTANT,
        follow="<|eot_id|>" + L3_USER,
        stops=("<|eot_id|>",),
        markers=L3_MARKERS,
        style="role",
        system_pre=L3_SYSTEM + SYSTEM + "<|eot_id|>" + L3_USER,
    ),
    Expected(
        "llama3.1",
        pre=L3_SYSTEM + L31_DATES + "<|eot_id|>" + L3_USER,
        post=L3_ASSISTANT,
        follow="<|eot_id|>" + L3_USER,
        stops=("<|eot_id|>",),
        markers=L3_MARKERS,
        style="role",
        system_pre=L3_SYSTEM + L31_DATES + SYSTEM + "<|eot_id|>" + L3_USER,
    ),
    Expected("qwen2", pre="<|im_start|>user\n", **ML),
    Expected("qwen2.5", pre=ML_DEFAULT + "<|im_start|>user\n", **ML),
    Expected("smollm2", pre=ML_DEFAULT + "<|im_start|>user\n", **ML),
    Expected(
        "qwen3",
        pre="<|im_start|>user\n",
        history=ML["post"],
        **{**ML, "post": ML["post"] + "<think>\n\n</think>\n\n"},
    ),
    Expected(
        "r1",
        pre=f"<{BAR}begin▁of▁sentence{BAR}><{BAR}User{BAR}>",
        post=f"<{BAR}Assistant{BAR}><think>\n\n</think>\n\n",
        history=f"<{BAR}Assistant{BAR}>",
        follow=f"<{BAR}end▁of▁sentence{BAR}><{BAR}User{BAR}>",
        stops=(f"<{BAR}end▁of▁sentence{BAR}>", f"<{BAR}Assistant{BAR}>"),
        markers=(f"<{BAR}Assistant{BAR}>", f"<{BAR}User{BAR}>"),
        style="role",
        system_pre=f"<{BAR}begin▁of▁sentence{BAR}>{SYSTEM}<{BAR}User{BAR}>",
    ),
    Expected(
        "gemma2",
        pre="<bos><start_of_turn>user\n",
        post="<end_of_turn>\n<start_of_turn>model\n",
        follow="<end_of_turn>\n<start_of_turn>user\n",
        stops=("<eos>", "<end_of_turn>"),
        markers=("<start_of_turn>model", "<start_of_turn>user"),
        style="prefixed",
        system_pre=f"<bos><start_of_turn>user\n{SYSTEM}\n\n",
    ),
    Expected(
        "phi3",
        pre="<s><|user|>\n",
        post="<|end|>\n<|assistant|>\n",
        follow="<|end|>\n<|user|>\n",
        stops=("<|endoftext|>", "<|end|>"),
        markers=("<|assistant|>", "<|user|>", "<|system|>"),
        style="role",
        system_pre=f"<s><|system|>\n{SYSTEM}<|end|>\n<|user|>\n",
    ),
    Expected(
        "mistral-v0.3",
        pre="<s>[INST]",
        post="[/INST]",
        follow="</s>[INST]",
        stops=("</s>", "[/INST]"),
        markers=("[/INST]", "[INST]"),
        style="in_last_user",
        system_pre=f"<s>[INST] {SYSTEM}\n\n",
        system_pre_2="<s>[INST]",
        system_follow=f"</s>[INST] {SYSTEM}\n\n",
    ),
    Expected(
        "llama2",
        pre="<s>[INST]",
        post=" [/INST]",
        follow=" </s><s>[INST]",
        stops=("</s>",),
        markers=("[/INST]", "[INST]", "<<SYS>>"),
        style="in_first_user",
        system_pre=f"<s>[INST] <<SYS>>\n{SYSTEM}\n<</SYS>>\n\n",
    ),
    Expected(
        "vicuna",
        pre="<s>A chat between a curious user and an assistant. USER:",
        post=" ASSISTANT:",
        follow="</s> USER:",
        stops=("</s>",),
        markers=("ASSISTANT:", "USER:"),
        style="role",
        system_pre=f"<s>{SYSTEM} USER:",
    ),
    Expected(
        "alpaca",
        pre="### Instruction:\n",
        post="\n\n### Response:\n",
        follow="\n\n### Instruction:\n",
        stops=("</s>",),
        markers=("### Response:", "### Instruction:"),
        style="prefixed",
        system_pre=f"### Instruction:\n{SYSTEM}\n\n",
    ),
]
WORDS = ("Write a poem", "the sea", "Explain it", "How it works", "What then")


def tokens_after(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Ids of a text that follows words, spaces as in the middle of a prompt."""
    word = tokenizer("poem", add_special_tokens=False)["input_ids"]
    whole = tokenizer("poem" + text, add_special_tokens=False)["input_ids"]
    assert whole[: len(word)] == word
    return tuple(whole[len(word) :])


def tokens_at_start(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Ids of a text that begins a prompt and names its BOS; a BOS by itself precedes the rest."""
    if adds_bos(tokenizer) and "bos_token" not in tokenizer.chat_template:
        text = text.removeprefix(tokenizer.bos_token)
        rest = tokenizer(text, add_special_tokens=False)["input_ids"]
        return (tokenizer.bos_token_id, *rest)
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def adds_bos(tokenizer: Any) -> bool:
    return bool(tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id)


@pytest.fixture(params=EXPECTED, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest, make: Any) -> tuple[Expected, Any, Any]:
    tokenizer = make(request.param.name)
    return request.param, tokenizer, derive(tokenizer)


def test_pre_query(case: tuple[Expected, Any, Any]) -> None:
    expected, tokenizer, chat = case
    assert chat.pre_query == tokens_at_start(tokenizer, expected.pre)
    assert chat.query_prompt() == list(chat.pre_query)


def test_post_query_is_the_generation_prompt(case: tuple[Expected, Any, Any]) -> None:
    expected, tokenizer, chat = case
    assert chat.post_query == tokens_after(tokenizer, expected.post)


def test_a_finished_turn_keeps_the_template_s_history_form(
    case: tuple[Expected, Any, Any],
) -> None:
    expected, tokenizer, chat = case
    assert chat.history_post_query == tokens_after(tokenizer, expected.history or expected.post)


def test_next_query(case: tuple[Expected, Any, Any]) -> None:
    expected, tokenizer, chat = case
    assert chat.next_query == tokens_after(tokenizer, expected.follow)


def test_every_further_turn_repeats_the_second(case: tuple[Expected, Any, Any]) -> None:
    _, _, chat = case
    for turns in (1, 2, 3, 6):
        parts = chat.segments(turns, None).ids
        assert parts[0] == chat.pre_query
        assert parts[-1] == chat.post_query
        assert set(parts[1:-1:2]) == {chat.history_post_query}
        assert set(parts[2::2]) == {chat.next_query}


def test_the_prompt_begins_with_exactly_one_bos(case: tuple[Expected, Any, Any]) -> None:
    expected, tokenizer, chat = case
    bos = tokenizer.bos_token_id
    assert (chat.pre_query[0] == bos) == (tokenizer.bos_token is not None)
    assert chat.pre_query[1] != bos
    # Further on, what the template itself writes each turn (Llama-2 does) and nothing else.
    written = expected.pre + expected.post + expected.follow + expected.post
    prompt = chat.answer_prompt([((), ())], ())
    assert prompt.count(bos) == written.count(tokenizer.bos_token or "no BOS")


def test_stop_ids(case: tuple[Expected, Any, Any]) -> None:
    expected, tokenizer, chat = case
    assert chat.stop_ids == tuple(sorted(chat.stop_ids))
    assert set(chat.stop_ids) == set(tokenizer.convert_tokens_to_ids(list(expected.stops)))


def test_generation_config_adds_its_stops(case: tuple[Expected, Any, Any]) -> None:
    _, tokenizer, chat = case
    more = derive(tokenizer, generation_eos=[*chat.stop_ids, 5])
    assert set(more.stop_ids) == {*chat.stop_ids, 5}
    assert derive(tokenizer, generation_eos=5).stop_ids == more.stop_ids
    assert derive(tokenizer, generation_eos=None).stop_ids == chat.stop_ids


def test_special_ids_hold_every_special_token_and_no_words(
    case: tuple[Expected, Any, Any],
) -> None:
    _, tokenizer, chat = case
    assert chat.special_ids >= set(tokenizer.all_special_ids)
    words = tokenizer("Write a poem about 42 seas!", add_special_tokens=False)["input_ids"]
    assert not chat.special_ids & set(words)


def test_markers_are_the_role_headers(case: tuple[Expected, Any, Any]) -> None:
    expected, _, chat = case
    assert chat.markers == expected.markers


def test_system_prompt(case: tuple[Expected, Any, Any]) -> None:
    expected, tokenizer, chat = case
    assert chat.system_style == expected.style
    assert chat.supports_system == (expected.style != "prefixed")
    assert chat.pre_query_with(SYSTEM) == tokens_at_start(tokenizer, expected.system_pre)
    assert chat.pre_query_with(None) == chat.pre_query
    assert tuple(chat.query_prompt([], SYSTEM)) == chat.pre_query_with(SYSTEM)


def test_system_prompt_in_a_later_turn(case: tuple[Expected, Any, Any]) -> None:
    expected, tokenizer, chat = case
    parts = chat.segments(1, SYSTEM).ids
    pre = expected.system_pre_2 or expected.system_pre
    assert parts[0] == tokens_at_start(tokenizer, pre)
    assert parts[1] == tokens_after(tokenizer, expected.history or expected.post)
    assert parts[2] == tokens_after(tokenizer, expected.system_follow or expected.follow)
    assert parts[3] == tokens_after(tokenizer, expected.post)


@pytest.mark.parametrize("system", [None, SYSTEM])
@pytest.mark.parametrize("turns", [0, 1, 2, 4])
def test_prompts_are_the_whole_render(
    case: tuple[Expected, Any, Any], turns: int, system: str | None
) -> None:
    expected, tokenizer, chat = case
    words = [f"{WORDS[i % len(WORDS)]} {i} now" for i in range(2 * turns + 1)]
    messages = [
        {"role": "assistant" if i % 2 else "user", "content": word} for i, word in enumerate(words)
    ]
    if system and expected.style == "prefixed":
        messages[0]["content"] = f"{system}\n\n{words[0]}"
    elif system:
        messages.insert(0, {"role": "system", "content": system})
    text = tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
        date_string="26 Jul 2024",
        strftime_now=lambda form: "2024-07-26",
    )
    if text.endswith("<think>\n"):
        text += "\n</think>\n\n"
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    if adds_bos(tokenizer) and whole[0] != tokenizer.bos_token_id:
        whole = [tokenizer.bos_token_id, *whole]
    # The words as the model would have written them: what the whole holds at their place.
    segments = chat.segments(turns, system)
    spoken, at = [], len(segments.ids[0])
    for part in segments.ids[1:]:
        end = next(i for i in range(at, len(whole)) if tuple(whole[i : i + len(part)]) == part)
        spoken.append(tuple(whole[at:end]))
        at = end + len(part)
    pairs = list(zip(spoken[:-1:2], spoken[1::2], strict=True))
    assert chat.answer_prompt(pairs, spoken[-1], system) == whole
    assert chat.query_prompt(pairs, system) == whole[: -len(spoken[-1]) - len(segments.ids[-1])]
    assert [chat.decode(ids).strip() for ids in spoken] == words
