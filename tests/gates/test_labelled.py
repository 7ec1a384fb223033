"""What the gates see of what a reader sees: their precision and recall on labelled texts."""

from __future__ import annotations

import pytest

from magpie_hub.gates.registry import GATES, OFF, build_gates, first_reason

from .labelled import figures, gates, texts

SEEN_BY_READERS = (
    "speaker",
    "foreign_opening",
    "fragment",
    "echo",
    "other_language",
    "repeated_items",
    "broken_code",
    "system_prompt",
    "no_request",
    "placeholder",
    "refusal",
    "self_reference",
    "small_talk",
    "urls",
)


def test_the_texts_are_many_and_most_of_them_are_right() -> None:
    assert len(texts()) >= 300
    assert sum(not text.wrong for text in texts()) >= len(texts()) / 2
    assert OFF <= set(SEEN_BY_READERS) <= set(GATES)


@pytest.mark.parametrize("name", SEEN_BY_READERS)
def test_a_gate_rejects_little_that_is_right_and_most_of_what_is_wrong(name: str) -> None:
    found = figures(gates()[name])
    assert found.wrong >= 4
    assert found.precision >= 0.95
    assert found.recall >= 0.55


def test_a_text_with_nothing_wrong_passes_every_gate_that_is_on() -> None:
    sides = build_gates()
    for text in texts():
        if not text.wrong:
            side = sides.instruction if text.message.role == "user" else sides.response
            assert first_reason(side, text.message) is None, text.message.text
