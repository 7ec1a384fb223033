"""What `probe` reports of a model: its instructions and two responses, by a scripted engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from magpie_hub.engines.base import Completion, EngineInfo, Sampling
from magpie_hub.pipeline.probe import Probe, choose_model, probe_model
from tests.tiny import write_tiny_model

QUESTION = "Which rivers flow through the city of Lyon?"
ANSWER = "Two rivers meet in Lyon: the Rhône comes from the lake, the Saône from the north."


class Scripted:
    """Says the next instruction, and an answer that depends on what was asked."""

    info = EngineInfo("scripted", "1", "none", "none", 4, 4096)

    def __init__(self, tokenizer: Any, instructions: Sequence[str], answer: str) -> None:
        self._tokenizer = tokenizer
        self._instructions = iter(instructions)
        self._answer = answer
        self.asked: list[str] = []
        self.limits: list[int] = []

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        text = self._tokenizer.decode(prompt)
        if text.endswith("user\n"):
            said = next(self._instructions)
        else:
            self.asked.append(text)
            self.limits.append(sampling.max_tokens)
            said = self._answer
        ids = self._tokenizer(said, add_special_tokens=False)["input_ids"]
        return Completion(tuple(ids), "stop")

    async def close(self) -> None:
        pass


@pytest.fixture
def probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`probed(instructions, answer)` gives the probe and the engine that it was drawn with."""
    from transformers import AutoTokenizer

    monkeypatch.setenv("MAGPIE_HOME", str(tmp_path / "home"))
    folder = write_tiny_model(tmp_path / "tiny")

    def of(instructions: Sequence[str], answer: str) -> tuple[Probe, Scripted]:
        engine = Scripted(AutoTokenizer.from_pretrained(folder), instructions, answer)

        async def start(*args: Any, **kwargs: Any) -> Scripted:
            return engine

        monkeypatch.setattr("magpie_hub.engines.factory.start_engine", start)
        recipe, source = choose_model(str(folder))
        found = probe_model(recipe, source, samples=len(instructions), say=lambda text: None)
        return found, engine

    return of


def test_two_responses_are_drawn_to_instructions_that_pass(probed: Any) -> None:
    found, engine = probed(["", QUESTION, "...", QUESTION + " Name them."], ANSWER)
    assert len(engine.asked) == 2
    assert all(QUESTION in text for text in engine.asked)
    data = found.to_json()
    assert data["yield"] == 0.5
    assert data["response_yield"] == 1.0
    assert data["response_reasons"] == {}
    assert [one["text"] for one in data["responses"]] == [ANSWER, ANSWER]
    assert "yield of responses 100%" in found.to_text()


def test_why_responses_are_rejected_is_said(probed: Any) -> None:
    found, _ = probed([QUESTION], "<think>\nThe user asks about rivers.\n</think>\n\n" + ANSWER)
    data = found.to_json()
    assert data["response_yield"] == 0.0
    assert data["response_reasons"] == {"thinking": 1}
    assert "yield of responses 0%; thinking 1" in found.to_text()


def test_an_instruction_that_fails_is_answered_only_if_no_other_is_left(probed: Any) -> None:
    found, engine = probed(["...", QUESTION], ANSWER)
    assert QUESTION in engine.asked[0]
    assert len(found.responses) == 2
    none, engine = probed([""], ANSWER)
    assert engine.asked == []
    assert none.to_json()["response_yield"] is None
    assert "0 responses" in none.to_text()
