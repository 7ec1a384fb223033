"""The base model's answer: shown how, cut where it goes on by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from magpie_hub.errors import ModelError
from magpie_hub.judges.base_answer import BaseAnswerJudge, base_prompt, cut_at_next
from magpie_hub.judges.models import JudgeModel
from magpie_hub.models.source import pin
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label
from tests.judges.tiny_judges import (
    HOSTILE,
    ScriptedEngine,
    drop_template,
    run,
    tokenizer_of,
)
from tests.tiny import write_tiny_model

ASKS = "=== Answer ===\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drop_template(write_tiny_model(tmp_path_factory.mktemp("base")))


def judge(model: Path | str, max_tokens: int = 1024) -> BaseAnswerJudge:
    return BaseAnswerJudge(JudgeModel(str(model)), max_tokens=max_tokens)


def saying(model: Path, whole: str, **more: int) -> ScriptedEngine:
    """An engine that answers every prompt with `whole`, going on where the prompt leaves off."""

    def script(prompt: str) -> str:
        head = base_prompt("").count(ASKS)
        return whole[len(prompt.split(ASKS, head)[-1]) :]

    return ScriptedEngine(tokenizer_of(model), script, **more)


def answer(model: Path, engine: ScriptedEngine, max_tokens: int = 1024) -> Label:
    item = TurnText(7, "Why is the sky blue?", "never seen")
    label = run(judge(model, max_tokens), [item], engine.context())[7]
    assert engine.closed
    return label


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Light scatters.", "Light scatters."),
        ("Light scatters.\n\n=== Message ===\nAnd at night?", "Light scatters."),
        ("Light scatters.\n=== Answer ===\nAgain.", "Light scatters."),
        ("a == b\nc === d\n=== Messages are fine", "a == b\nc === d\n=== Messages are fine"),
        ("\n=== Message ===\nNothing to say", ""),
        ("", ""),
    ],
)
def test_the_answer_ends_where_the_next_exchange_begins(model: Path, said: str, kept: str) -> None:
    assert answer(model, saying(model, said)).values == {"base_output": kept}


def test_a_model_that_never_stops_is_asked_no_further_than_its_answer(model: Path) -> None:
    said = "x" * 300 + "\n\n=== Message ===\n" + "y" * 10_000
    engine = saying(model, said)
    assert answer(model, engine).values == {"base_output": "x" * 300}
    assert len(engine.prompts) == 2
    assert engine.prompts[1][: len(engine.prompts[0])] == engine.prompts[0]


def test_an_answer_is_bounded(model: Path) -> None:
    engine = saying(model, "x" * 10_000)
    assert answer(model, engine, 600).values == {"base_output": "x" * 600}
    assert [sampling.max_tokens for sampling in engine.samplings] == [256, 256, 88]


def test_it_is_drawn_greedily_with_loops_ended(model: Path) -> None:
    engine = saying(model, "Light.")
    answer(model, engine)
    assert engine.samplings[0].temperature == 0
    assert engine.samplings[0].loop is not None


def test_the_prompt_is_the_instruction_after_some_exchanges(model: Path) -> None:
    engine = saying(model, "Light.")
    answer(model, engine)
    prompt = tokenizer_of(model).decode(engine.prompts[0])
    assert prompt.endswith(f"=== Message ===\nWhy is the sky blue?\n\n{ASKS}")
    assert prompt.count(ASKS) > 2
    assert "never seen" not in prompt
    assert cut_at_next(prompt) is not None


def test_every_row_gets_one_label_whatever_stands_in_it(model: Path) -> None:
    engine = saying(model, "Light.")
    long = TurnText(90, "word " * 30_000)
    found = run(judge(model), [*HOSTILE, long], engine.context())
    assert found.pop(90).failure == "too_long"
    assert {label.failure for label in found.values()} == {None}
    special = set(tokenizer_of(model).all_special_ids)
    assert not any(special & set(prompt) for prompt in engine.prompts)


def test_an_answer_is_never_cut_for_room(model: Path) -> None:
    engine = saying(model, "Light.")
    answer(model, engine)
    room = len(engine.prompts[0]) + 1024
    assert answer(model, saying(model, "Light.", max_model_len=room)).failure is None
    assert answer(model, saying(model, "Light.", max_model_len=room - 1)).failure == "too_long"


def test_a_model_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(ModelError, match="nobody/nothing"):
        judge("nobody/nothing").check()


def test_its_settings_name_model_prompt_bound_and_stretch(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = judge(model).settings()
    assert before["revision"] == pin(str(model)).revision
    assert judge(model, 512).settings() != before
    for name, value in (("_template_text", lambda: "other words"), ("STRETCH", 64)):
        with monkeypatch.context() as patch:
            patch.setattr(f"magpie_hub.judges.base_answer.{name}", value)
            assert judge(model).settings() != before
