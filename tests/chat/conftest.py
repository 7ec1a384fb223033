"""Small real tokenizers and chat templates in the styles of well-known model families.

The tokenizers are trained here, on a few lines of text: a byte-level BPE as GPT-like models have,
and a SentencePiece-like BPE whose spaces are part of the words. The templates are written for the
tests; only the form that a family's format requires is theirs.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

CORPUS = (
    """
What is the best way to cook lunch for a large House party? I think the answer depends on you.
How do I write a python program that plans the week? the user asks and the assistant answers.
You are a helpful assistant. Be brief and answer in one sentence. the model writes a question.
A chat between a curious user and an artificial intelligence assistant. USER: ASSISTANT: Hello!
### Instruction: Describe it. ### Response: [INST] [/INST] system user assistant model 42 7 2024
Write a poem about the sea and the Green hills. Explain how it works, then give me an example.
Почему небо голубое? Привет, мир. 你好,世界。 École, café. ¿Qué tal? - list end.
"""
    * 4
)


@dataclass(frozen=True)
class Family:
    """A tokenizer's make: kind, marks that it adds, template, who writes the BOS."""

    template: str | None
    special: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()  # added tokens without the special flag
    bos: str | None = None
    eos: str = "</s>"
    kind: str = "bytes"
    adds_bos: bool = False
    eats_space: bool = False  # marks swallow the white space after them, as Phi-3's do


CHATML_MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
LLAMA3_MARKS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>")
THINK = ("<think>", "</think>")

_CHATML_BODY = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}"
)
_ALTERNATE = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate\nuser/assistant') }}{% endif %}{% endfor %}"
)
_LLAMA3_TURN = (
    "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>"
)
_LLAMA3_OPEN = "<|start_header_id|>assistant<|end_header_id|>\n\n"

FAMILIES: dict[str, Family] = {
    "llama3": Family(
        template=(
            "{{ bos_token }}{% for m in messages %}" + _LLAMA3_TURN + "{% endfor %}"
            "{% if add_generation_prompt %}" + _LLAMA3_OPEN + "{% endif %}"
        ),
        special=LLAMA3_MARKS,
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        adds_bos=True,
    ),
    "llama3.1": Family(
        template=(
            "{{ bos_token }}{% if date_string is not defined %}"
            "{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
            "{% if messages[0].role == 'system' %}{% set sys = messages[0].content | trim %}"
            "{% set messages = messages[1:] %}{% else %}{% set sys = '' %}{% endif %}"
            "<|start_header_id|>system<|end_header_id|>\n\nToday Date: {{ date_string }}\n"
            "Day: {{ strftime_now('%Y-%m-%d') }}\n\n{{ sys }}<|eot_id|>"
            "{% for m in messages %}" + _LLAMA3_TURN + "{% endfor %}"
            "{% if add_generation_prompt %}" + _LLAMA3_OPEN + "{% endif %}"
        ),
        special=LLAMA3_MARKS,
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        adds_bos=True,
    ),
    "qwen2": Family(_CHATML_BODY, CHATML_MARKS, eos="<|im_end|>"),
    "qwen2.5": Family(_DEFAULT_SYSTEM + _CHATML_BODY, CHATML_MARKS, eos="<|im_end|>"),
    "smollm2": Family(
        _DEFAULT_SYSTEM + _CHATML_BODY, CHATML_MARKS, bos="<|im_start|>", eos="<|im_end|>"
    ),
    "qwen3": Family(
        template=(
            "{% set ns = namespace(last=0) %}{% for m in messages %}"
            "{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
            "{% for m in messages %}{% set words = m.content.split('</think>')[-1].lstrip('\n') %}"
            "<|im_start|>{{ m.role }}\n"
            "{% if m.role == 'assistant' and loop.index0 > ns.last %}<think>\n\n</think>\n\n"
            "{% endif %}{{ words }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n"
            "{% if enable_thinking is defined and enable_thinking is false %}"
            "<think>\n\n</think>\n\n{% endif %}{% endif %}"
        ),
        special=CHATML_MARKS,
        plain=THINK,
        eos="<|im_end|>",
    ),
    "r1": Family(
        template=(
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}"
            "{% elif m.role == 'user' %}<\uff5cUser\uff5c>{{ m.content }}{% else %}"
            "<\uff5cAssistant\uff5c>{{ m.content.split('</think>')[-1] }}{{ eos_token }}{% endif %}"
            "{% endfor %}{% if add_generation_prompt %}<\uff5cAssistant\uff5c><think>\n{% endif %}"
        ),
        special=("<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"),
        plain=THINK,
        bos="<\uff5cbegin▁of▁sentence\uff5c>",
        eos="<\uff5cend▁of▁sentence\uff5c>",
        adds_bos=True,
    ),
    "gemma2": Family(
        template=(
            "{{ bos_token }}{% if messages[0].role == 'system' %}"
            "{{ raise_exception('System role not supported') }}{% endif %}"
            + _ALTERNATE
            + "{% for m in messages %}<start_of_turn>"
            "{{ 'model' if m.role == 'assistant' else m.role }}\n"
            "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
            "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
        ),
        special=("<start_of_turn>", "<end_of_turn>"),
        bos="<bos>",
        eos="<eos>",
        kind="pieces, no first space",
        adds_bos=True,
    ),
    "phi3": Family(
        template=(
            "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
        ),
        special=("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
        bos="<s>",
        eos="<|endoftext|>",
        kind="pieces",
        adds_bos=True,
    ),
    "mistral-v0.3": Family(
        template=(
            "{{ bos_token }}{% if messages[0].role == 'system' %}"
            "{% set sys = messages[0].content %}{% set messages = messages[1:] %}{% endif %}"
            + _ALTERNATE
            + "{% for m in messages %}{% if m.role == 'user' %}[INST] "
            "{% if loop.last and sys is defined %}{{ sys }}\n\n{% endif %}{{ m.content }}[/INST]"
            "{% else %} {{ m.content | trim }}{{ eos_token }}{% endif %}{% endfor %}"
        ),
        special=("[INST]", "[/INST]"),
        bos="<s>",
        kind="pieces",
        adds_bos=True,
    ),
    "llama2": Family(
        template=(
            "{% if messages[0].role == 'system' %}{% set sys = messages[0].content %}"
            "{% set messages = messages[1:] %}{% else %}{% set sys = none %}{% endif %}"
            + _ALTERNATE
            + "{% for m in messages %}{% set words = m.content.strip() %}"
            "{% if m.role == 'user' %}{{ bos_token }}[INST] "
            "{% if loop.first and sys is not none %}<<SYS>>\n{{ sys }}\n<</SYS>>\n\n{% endif %}"
            "{{ words }} [/INST]{% else %} {{ words }} {{ eos_token }}{% endif %}{% endfor %}"
        ),
        bos="<s>",
        kind="pieces",
        adds_bos=True,
    ),
    "vicuna": Family(
        template=(
            "{% if messages[0].role == 'system' %}{{ messages[0].content }}"
            "{% set messages = messages[1:] %}{% else %}A chat between a curious user and an "
            "assistant.{% endif %}{% for m in messages %}"
            "{% if m.role == 'user' %} USER: {{ m.content }}"
            "{% else %} ASSISTANT: {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
            "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
        ),
        bos="<s>",
        kind="pieces",
        adds_bos=True,
    ),
    "alpaca": Family(
        template=(
            "{% for m in messages %}{% if m.role == 'user' %}### Instruction:\n{{ m.content }}\n\n"
            "{% elif m.role == 'assistant' %}### Response:\n{{ m.content }}\n\n{% endif %}"
            "{% endfor %}{% if add_generation_prompt %}### Response:\n{% endif %}"
        ),
    ),
}


@functools.cache
def _trained(kind: str) -> str:
    """JSON of a tokenizer without added tokens."""
    if kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=600,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    else:
        scheme = "never" if "no first space" in kind else "first"
        if kind == "unigram":
            return _trained_unigram()
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        if scheme == "first":
            steps.append(decoders.Strip(" ", 1, 0))
        tokenizer.decoder = decoders.Sequence(steps)
        trainer = trainers.BpeTrainer(
            vocab_size=900,
            special_tokens=["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
            show_progress=False,
        )
    tokenizer.train_from_iterator(CORPUS.splitlines(), trainer)
    if kind != "bytes":
        # The bytes were only reserved as special tokens: they are ordinary vocabulary.
        model = Tokenizer.from_str(tokenizer.to_str())
        state = json.loads(model.to_str())
        if kind == "pieces, legacy":
            # Llama's older conversion: spaces replaced by a normaliser, one more put before every
            # stretch of text, a stretch after a mark included.
            state["pre_tokenizer"] = None
            state["normalizer"] = {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Prepend", "prepend": "▁"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                ],
            }
        state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] == "<unk>"]
        return str(json.dumps(state))
    return str(tokenizer.to_str())


def _trained_unigram() -> str:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.UnigramTrainer(
        vocab_size=400,
        unk_token="<unk>",
        special_tokens=["<unk>"],
        initial_alphabet=sorted(set(CORPUS) | set("0123456789")),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS.splitlines(), trainer)
    return str(tokenizer.to_str())


def build(family: Family) -> Any:
    """A tokenizer of this make."""
    tokenizer = Tokenizer.from_str(_trained(family.kind))
    named = [mark for mark in (family.bos, family.eos, *family.special) if mark]
    tokenizer.add_special_tokens(
        [
            AddedToken(mark, normalized=False, rstrip=family.eats_space and mark != family.bos)
            for mark in dict.fromkeys(named)
        ]
    )
    tokenizer.add_tokens([AddedToken(m, normalized=False, special=False) for m in family.plain])
    if family.adds_bos and family.bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A",
            special_tokens=[(family.bos, tokenizer.token_to_id(family.bos))],
        )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=family.bos,
        eos_token=family.eos,
        additional_special_tokens=list(family.special),
    )
    wrapped.chat_template = family.template
    return wrapped


@pytest.fixture(scope="session")
def make() -> Callable[..., Any]:
    """`make(name, **changes)` builds the tokenizer of a family, changed as told."""

    def of(name: str, **changes: Any) -> Any:
        family = FAMILIES[name]
        return build(Family(**{**family.__dict__, **changes}))

    return of
