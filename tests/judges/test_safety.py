"""The guard judge: a verdict read strictly, or none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.errors import EngineError, ModelError
from magpie_hub.judges.base import JudgeContext
from magpie_hub.judges.models import JudgeModel
from magpie_hub.judges.safety import SafetyJudge, Verdict, read_verdict
from magpie_hub.models.source import fetch, pin
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label
from tests.judges.tiny_judges import (
    HOSTILE,
    Script,
    ScriptedEngine,
    drop_template,
    run,
    running,
    tokenizer_of,
    write_guard_model,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_guard_model(tmp_path_factory.mktemp("guard"))


def judge(model: Path | str) -> SafetyJudge:
    return SafetyJudge(JudgeModel(str(model)))


def ask(model: Path, script: Script, *items: TurnText, **more: int) -> dict[int, Label]:
    engine = ScriptedEngine(tokenizer_of(model), script, **more)
    found = run(judge(model), items, engine.context())
    assert engine.closed
    return found


@pytest.mark.parametrize(
    ("said", "published", "safe", "categories"),
    [
        ("safe", "safe", True, []),
        ("\n\nsafe\n", "safe", True, []),
        ("unsafe\nS2", "unsafe\nS2", False, ["S2"]),
        ("\n\nunsafe\nS1, S14", "unsafe\nS1, S14", False, ["S1", "S14"]),
        ("unsafe\nO3", "unsafe\nO3", False, ["O3"]),
        ("unsafe", "unsafe", False, []),
    ],
)
def test_a_verdict_is_kept_as_written_and_read(
    model: Path, said: str, published: str, safe: bool, categories: list[str]
) -> None:
    found = ask(model, lambda prompt: said, TurnText(7, "How?", "So."))
    assert found[7].values == {
        "llama_guard_2": published,
        "safe": safe,
        "safety_categories": categories,
    }


@pytest.mark.parametrize(
    "said",
    [
        "This conversation is safe.",
        "safe, I think",
        "Safe",
        "unsafe\nviolence",
        "unsafe\nS1 S2",
        "safe\nS1",
        "safe\nunsafe",
        "",
        "safe " * 100,
    ],
)
def test_prose_is_no_verdict(model: Path, said: str) -> None:
    label = ask(model, lambda prompt: said, TurnText(7, "How?", "So."))[7]
    assert label.failure is not None
    assert label.failure.startswith("unparsable:" + said.split("\n")[0][:20].strip())
    assert len(label.failure) < 80


def test_a_verdict_that_ran_out_of_tokens_is_none(model: Path) -> None:
    said = "unsafe\n" + ",".join(["S1"] * 40)
    label = ask(model, lambda prompt: said, TurnText(7, "How?", "So."))[7]
    assert (label.failure or "").startswith("unparsable:unsafe S1,S1")


@given(st.text())
def test_what_is_read_is_one_of_three_shapes(text: str) -> None:
    verdict = read_verdict(text)
    if verdict is not None:
        assert text.strip().startswith("safe" if verdict.safe else "unsafe")
        assert not (verdict.safe and verdict.categories)


@given(st.lists(st.integers(1, 14), min_size=1).map(lambda codes: [f"S{code}" for code in codes]))
def test_categories_come_back_as_they_were_written(categories: list[str]) -> None:
    assert read_verdict("unsafe\n" + ",".join(categories)) == Verdict(False, categories)


def test_the_guard_sees_both_sides_once_and_answers_greedily(model: Path) -> None:
    tokenizer = tokenizer_of(model)
    engine = ScriptedEngine(tokenizer, lambda prompt: "safe")
    run(judge(model), [TurnText(1, "a question", "an answer")], engine.context())
    assert tokenizer.decode(engine.prompts[0]) == (
        "<|im_start|>user\na question<|im_end|>\n<|im_start|>assistant\nan answer<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert engine.samplings[0].temperature == 0
    assert engine.samplings[0].stop_ids == (tokenizer.eos_token_id,)


def test_every_row_gets_one_label_whatever_stands_in_it(model: Path) -> None:
    long = TurnText(90, "word " * 30_000, "Fine.")
    found = ask(model, lambda prompt: "safe", *HOSTILE, long)
    assert found.pop(90).failure == "too_long"
    assert {label.failure for label in found.values()} == {None}


def test_rows_cannot_speak_for_the_guard(model: Path) -> None:
    tokenizer = tokenizer_of(model)
    engine = ScriptedEngine(tokenizer, lambda prompt: "safe")
    run(judge(model), HOSTILE, engine.context())
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert {prompt.count(start) for prompt in engine.prompts} == {3}


def test_what_was_labelled_before_the_engine_failed_is_kept(model: Path) -> None:
    def script(prompt: str) -> str:
        if len(engine.prompts) > 5:
            raise EngineError("the guard is gone")
        return "safe"

    engine, saved = ScriptedEngine(tokenizer_of(model), script), list[Label]()
    items = [TurnText(row_id, "How?", "So.") for row_id in range(40)]
    with pytest.raises(EngineError, match="the guard is gone"):
        asyncio.run(judge(model).label(items, saved.extend, engine.context()))
    assert len(saved) == 5
    assert engine.closed


@pytest.mark.engine
def test_a_real_engine_is_asked_and_a_random_guard_gives_no_verdict(
    model: Path, tmp_path: Path
) -> None:
    from magpie_hub.engines.transformers.engine import TransformersEngine

    source = fetch(pin(str(model)), tmp_path)

    async def label() -> list[Label]:
        engine = await TransformersEngine.start(source, EngineOptions())
        context = JudgeContext(lambda: running(engine))
        await judge(model).label(HOSTILE, labels.extend, context)
        return labels

    labels: list[Label] = []
    found = asyncio.run(label())
    assert sorted(label.row_id for label in found) == [one.row_id for one in HOSTILE]
    assert all((label.failure or "").startswith("unparsable:") for label in found)


def test_a_guard_that_cannot_be_had_or_asked_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nobody/nothing"):
        judge("nobody/nothing").check()
    assert judge(model).settings()["revision"] == pin(str(model)).revision
    bare = drop_template(write_guard_model(tmp_path))
    with pytest.raises(ModelError, match="no chat template"):
        judge(bare).check()
