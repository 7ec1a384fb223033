"""Noise, and what only looks like noise."""

from __future__ import annotations

import pytest

from magpie_hub.gates.garbage import Garbage

from .messages import assistant, user

NOISE = [
    ("Tell me about caf\ufffd in Paris", "garbage:replacement"),
    ("\ufffd\ufffd\ufffd", "garbage:replacement"),
    ("What is \x00 null?", "garbage:control"),
    ("Hello \x1b[31mred\x1b[0m", "garbage:control"),
    ("Hello \x85 there", "garbage:control"),
    ("What does \ue000 mean?", "garbage:private_use"),
    ("Say \U00100000 twice", "garbage:private_use"),
    ("A lone \ud83d surrogate", "garbage:private_use"),
    ("x", "garbage:single"),
    ("？", "garbage:single"),
    ("}{)(*&^%$#@!}{|:?><,./;'[]", "garbage:symbols"),
    ("((((a))))[[[[b]]]]{{{{c}}}}<>%&/$!?=*+#'-.:;~", "garbage:symbols"),
    ("мулти การ اءت the عند हिन्दी", "garbage:scripts"),
    ("hello привет 안녕 שלום مرحبا", "garbage:scripts"),
    ("գրել to 世界 ещё ნახვა", "garbage:scripts"),
]

FINE = [
    "What is the difference between a list and a tuple?",
    "def f(x):\n\treturn {k: v**2 for k, v in x.items() if v >= 0}",
    "for (int i = 0; i < n; ++i) { a[i] = b[i] ? *p++ : -1; }",
    "Solve ∫₀^∞ e^{-x²} dx and show that it equals √π/2.",
    "Let α, β, γ and δ be the angles; prove that α + β + γ + δ = 2π.",
    "请解释一下量子纠缠的基本原理，并举一个例子。",
    "日本の四季について、短い詩を書いてください。",
    "اكتب قصيدة قصيرة عن البحر.",
    "हिमालय के बारे में एक छोटा निबंध लिखिए।",
    "사용자를 위한 Python 예제를 작성해 주세요.",
    "เขียนบทกวีสั้น ๆ เกี่ยวกับทะเล",
    "Write a birthday message for my sister 🎉🎂 please 👩‍👩‍👧!",
    "Translate 'Привет' and '你好' into English.",
    "Name: ______________________________",
    "Title\n=====================================\nSummarise this heading style.",
    "2+2?",
    "Ok",
]


@pytest.mark.parametrize(("text", "reason"), NOISE)
def test_noise_is_rejected_with_the_rule(text: str, reason: str) -> None:
    assert Garbage()(user(text)) == reason


@pytest.mark.parametrize("text", FINE)
def test_what_a_person_types_passes(text: str) -> None:
    assert Garbage()(user(text)) is None


@pytest.mark.parametrize("text", ["B", "4", "是", "Hello: привет, 안녕, שלום, مرحبا, γειά, 你好"])
def test_a_response_may_be_one_letter_or_a_list_of_translations(text: str) -> None:
    assert Garbage()(assistant(text)) is None


def test_the_number_of_scripts_is_a_parameter() -> None:
    text = "hello привет 안녕하세요"
    assert Garbage()(user(text)) is None
    assert Garbage(max_scripts=2)(user(text)) == "garbage:scripts"
