"""Texts that go round in circles, and texts with a form that repeats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.gates.repetition import Repetition

from .messages import assistant, user

SENTENCE = "The quick brown fox jumps over the lazy dog and then it sleeps. "
LONG_SENTENCE = (
    "When the sun had set behind the mountains, the old fisherman pulled his boat onto the sand, "
    "counted the few silver fish in his basket, and walked slowly home along the narrow path. "
)
ESSAY = (
    "Photosynthesis is the process by which plants turn light into chemical energy. It takes place "
    "in the chloroplasts, where chlorophyll absorbs mostly red and blue light. In the first stage, "
    "water is split and oxygen is released; in the second, carbon dioxide is fixed into sugar. "
    "The rate depends on light, temperature and the supply of carbon dioxide, so that greenhouses "
    "often control all three. Without it, hardly any food chain on Earth would exist, and the "
    "air would hold far less oxygen than we breathe today."
)

IN_CIRCLES = [
    SENTENCE * 8,
    LONG_SENTENCE * 4,
    "I am sorry.\n" * 40,
    "- item one is good\n- item two is bad\n" * 15,
    "ha" * 200,
    "a" * 100,
    "no " * 30,
    "help me help me help me help me help me help me help me help me",
    "我喜欢吃苹果。" * 15,
    "よろしくお願いします。" * 12,
    "Я не знаю, что сказать по этому поводу. " * 10,
    ESSAY + "\n\n" + "It is important to note that the rate depends on light. " * 25,
    "Here is the code:\n```python\n" + "x = compute(x, y, z)\nprint(x)\n" * 40 + "```",
]

ONWARD = [
    ESSAY,
    "What is the difference between supervised and unsupervised learning?",
    "No, no, no! Why does it say 'no no no' when I ask it to stop?",
    "0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1: what comes next?",
    "Write out one googol: 1" + "0" * 100,
    "| City | Rain | Sun |\n|---|---|---|\n"
    + "".join(f"| Town {i} | low | high |\n" for i in range(30)),
    "```python\n"
    + "".join(f"def test_{i}():\n    assert f({i}) == {i * i}\n\n" for i in range(25))
    + "```",
    "```json\n["
    + ",\n".join(f'{{"id": {i}, "name": "n{i}", "tags": []}}' for i in range(30))
    + "]\n```",
    "Multiplication table of 7:\n" + "\n".join(f"7 x {i} = {7 * i}" for i in range(1, 21)),
    (
        "请写一篇关于人工智能在医疗领域应用的短文，讨论它的优点、局限以及未来的发展方向，并给出两个具体的例子，"
        "说明医生和患者分别可以从中得到什么帮助，同时谈谈数据隐私的问题。"
    ),
    (
        "Verse one tells of the road that I took when the morning was new\n"
        "And the wind from the harbour was cold and the gulls overhead flew\n"
        "Carry me home, carry me home, over the hills and the foam\n"
        "Verse two tells of a girl with a lantern who waited for me\n"
        "And the light of her window that trembled far out on the sea\n"
        "Carry me home, carry me home, over the hills and the foam\n"
        "Verse three has an old man alone with his pipe and his dog\n"
        "And a story he tells to the children at night in the fog\n"
        "Carry me home, carry me home, over the hills and the foam"
    ),
    "GATTACAGATTACAGATTACACCGTTAGGACCTTAACGGTTAACCGTACGTTAGCATCGGATCTTAGCCATGA: count the G's.",
]


@pytest.mark.parametrize("text", IN_CIRCLES)
def test_degenerate_repetition_is_rejected(text: str) -> None:
    reason = Repetition()(assistant(text))
    assert reason is not None
    assert reason.startswith("repetition:")


@pytest.mark.parametrize("text", ONWARD)
def test_form_that_repeats_passes(text: str) -> None:
    assert Repetition()(assistant(text)) is None
    assert Repetition()(user(text)) is None


def test_a_loop_that_the_engine_ended_is_rejected() -> None:
    assert Repetition()(assistant("Fine.", finish_reason="repetition")) == "repetition:loop"


def test_thresholds_are_parameters() -> None:
    text = ESSAY + " " + ESSAY.split(". ")[0] + "."
    assert Repetition()(assistant(text)) is None
    assert Repetition(max_duplicate_10gram=0.01)(assistant(text)) == "repetition:copies"


@given(st.text("ab -é1\n", max_size=70), st.sampled_from(["ha", "x", "哈", "мя"]))
def test_a_long_run_is_seen_wherever_it_stands(before: str, pattern: str) -> None:
    text = f"{before} {pattern * 60}"
    assert Repetition()(assistant(text)) == "repetition:run"
    assert Repetition()(assistant(f"{text} {before}")) == "repetition:run"


@pytest.mark.parametrize("text", [text for text in (*IN_CIRCLES, *ONWARD) if text.isascii()])
def test_a_dash_that_is_not_ascii_changes_nothing(text: str) -> None:
    assert Repetition()(assistant(f"{text}\n—")) == Repetition()(assistant(text))
