"""The tagger: labels within the enumerations, foreign words kept from speaking as the judge."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.chat.derive import derive
from magpie_hub.engines.regex import portable
from magpie_hub.judges import tags
from magpie_hub.judges.tags import (
    CATEGORIES,
    DIFFICULTIES,
    QUALITIES,
    Mode,
    TagsJudge,
    reply_pattern,
    tagger_prompt,
)
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.selection import Difficulty, Quality
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label
from tests.judges.tiny_judges import HOSTILE, Script, ScriptedEngine, run, tokenizer_of
from tests.tiny import write_tiny_model

COMPACT = "hard; good; Coding & Debugging"
EXPLAINED = (
    "Intent: To sort a list\nKnowledge: Python\nDifficulty: very easy\nReview: Clear:  and short\n"
    "Quality: excellent\nCategory: Coding & Debugging\nOthers: Math, Coding & Debugging"
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tokenizer_of(write_tiny_model(tmp_path_factory.mktemp("tagger")))


def tag(
    tokenizer: Any, said: str | Script, *items: TurnText, mode: Mode = "compact", **more: int
) -> tuple[dict[int, Label], ScriptedEngine]:
    script = said if callable(said) else lambda prompt: said
    engine = ScriptedEngine(tokenizer, script, **more)
    judge = TagsJudge(ModelSource("a/tagger", "r1", "hub"), mode)
    return run(judge, items, engine.context(lambda: derive(tokenizer))), engine


def test_compact_gives_the_labels_and_no_more(tokenizer: Any) -> None:
    found, engine = tag(tokenizer, COMPACT, TurnText(3, "Write a sort."))
    assert found[3].values == {
        **{column.name: None for column in TagsJudge.columns},
        "difficulty": "hard",
        "input_quality": "good",
        "task_category": "Coding & Debugging",
        "other_task_category": [],
        "task_category_generator": "a/tagger",
        "difficulty_generator": "a/tagger",
        "quality_generator": "a/tagger",
    }
    (sampling,) = engine.samplings
    assert sampling.temperature == 0
    assert sampling.pattern == reply_pattern("compact")


def test_explained_fills_every_published_column(tokenizer: Any) -> None:
    found, engine = tag(tokenizer, EXPLAINED, TurnText(0, "Write a sort."), mode="explained")
    assert len(engine.samplings) == 1, "one call a row, as in compact mode"
    values = found[0].values
    assert None not in values.values()
    assert values["intent"] == "To sort a list"
    assert values["quality_explanation"] == "Clear: and short"
    assert values["other_task_category"] == ["Math"], "without the first, and each once"


def explained(intent: str, knowledge: str, review: str) -> str:
    return (
        f"Intent: {intent}\nKnowledge: {knowledge}\nDifficulty: easy\nReview: {review}\n"
        "Quality: good\nCategory: Math\nOthers: none"
    )


SUM = "What is the sum of the first ten odd numbers?"


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (("...", "Arithmetic", "Clear and short"), "no_words:intent"),
        (("To add numbers", "1. 2. 3.", "Clear and short"), "no_words:knowledge"),
        (("To add numbers", "Arithmetic", "----------"), "no_words:review"),
        ((SUM, "Arithmetic", "Clear and short"), "copied_message:intent"),
        (("To add numbers", "Arithmetic", "what is the SUM of the first ten odd"),
         "copied_message:review"),
        (("what the person wants to reach, in one sentence", "Arithmetic", "Clear"),
         "copied_prompt:intent"),
        (("To add numbers", "what must be known in order to answer", "Clear"),
         "copied_prompt:knowledge"),
        (("To add numbers", "Arithmetic", "one of the qualities above"), "copied_prompt:review"),
        (("To add numbers", "facts or explanations", "Clear"), "copied_prompt:knowledge"),
        (("To add numbers", "Arithmetic", "understandable, with important details missing"),
         "copied_prompt:review"),
        (("To add numbers", "To add numbers", "Clear"), "repeated:knowledge"),
    ],
)  # fmt: skip
def test_an_explanation_that_explains_nothing_is_a_failure(
    tokenizer: Any, said: tuple[str, str, str], failure: str
) -> None:
    found, _ = tag(tokenizer, explained(*said), TurnText(0, SUM), mode="explained")
    assert (found[0].failure, dict(found[0].values)) == (failure, {})


@pytest.mark.parametrize(
    "said",
    [
        ("To know the sum of the first ten odd numbers", "Arithmetic", "Clear and specific"),
        ("The person wants a sum", "What odd numbers are", "It is clear what is wanted"),
        ("求和", "算术", "清楚"),
        ("Math", "Addition of numbers", "No detail is missing"),
    ],
)
def test_an_explanation_in_words_of_its_own_is_a_label(
    tokenizer: Any, said: tuple[str, str, str]
) -> None:
    found, _ = tag(tokenizer, explained(*said), TurnText(0, SUM), mode="explained")
    assert found[0].failure is None
    assert found[0].values["intent"] == said[0]


@pytest.mark.parametrize("mode", ["compact", "explained"])
def test_the_patterns_are_ones_that_every_engine_reads_alike(mode: Mode) -> None:
    example = COMPACT if mode == "compact" else EXPLAINED
    assert re.fullmatch(reply_pattern(mode), example)
    assert re.fullmatch(portable(reply_pattern(mode)), example)


def test_every_label_can_be_said_and_no_other() -> None:
    for difficulty in DIFFICULTIES:
        for quality in QUALITIES:
            for category in CATEGORIES:
                reply = f"{difficulty}; {quality}; {category}"
                assert re.fullmatch(reply_pattern("compact"), reply)
    assert tuple(DIFFICULTIES) == get_args(Difficulty), "from the lowest"
    assert tuple(QUALITIES) == get_args(Quality)
    assert len(CATEGORIES) == 12
    assert not re.fullmatch(reply_pattern("compact"), "hard; superb; Math")


def test_the_instruction_comes_last_and_everything_before_it_is_the_same(tokenizer: Any) -> None:
    _, engine = tag(tokenizer, COMPACT, TurnText(0, "Why?"), TurnText(1, "Write a long poem."))
    one, two = engine.prompts
    head = len(tokenizer(tagger_prompt("compact", "").rsplit("BEGIN", 1)[0])["input_ids"])
    assert one[:head] == two[:head]
    after = tokenizer.decode(one[head:])
    assert after.index("Why?") < 20
    assert len(after) < 60


def test_words_that_speak_to_the_judge_stay_words(tokenizer: Any) -> None:
    found, engine = tag(tokenizer, COMPACT, *HOSTILE)
    assert {label.failure for label in found.values()} == {None}
    start, end = (tokenizer.convert_tokens_to_ids(t) for t in ("<|im_start|>", "<|im_end|>"))
    for prompt in engine.prompts:
        assert (prompt.count(start), prompt.count(end)) == (2, 1)


def test_an_instruction_beyond_the_context_fails_and_the_others_do_not(tokenizer: Any) -> None:
    rows = (TurnText(0, "word " * 30_000), TurnText(1, "Why?"))
    found, engine = tag(tokenizer, COMPACT, *rows)
    assert (found[0].failure, found[1].failure) == ("too_long", None)
    assert len(engine.prompts) == 1


def test_an_engine_that_breaks_its_word_is_not_believed(tokenizer: Any) -> None:
    found, _ = tag(tokenizer, "excellent!", TurnText(0, "Why?"))
    assert found[0].failure == "unparsable:'excellent!'"
    found, _ = tag(tokenizer, "hard; " * 40, TurnText(0, "Why?"))
    assert found[0].failure == "cut_off"


@settings(max_examples=30, deadline=None)
@given(text=st.text())
def test_any_words_at_all_get_a_label(tokenizer: Any, text: str) -> None:
    found, _ = tag(tokenizer, COMPACT, TurnText(0, text))
    assert found[0].failure is None


def test_the_engine_is_kept_full(tokenizer: Any) -> None:
    rows = [TurnText(row, f"Question {row}?") for row in range(12)]
    _, engine = tag(tokenizer, COMPACT, *rows, slots=5)
    assert engine.most_at_once >= 5


def test_what_determines_labels_is_in_the_settings() -> None:
    def settings_of(model: str, revision: str, mode: Mode) -> dict[str, Any]:
        return TagsJudge(ModelSource(model, revision, "hub"), mode).settings()

    base = settings_of("a/b", "r1", "compact")
    assert settings_of("a/c", "r1", "compact") != base
    assert settings_of("a/b", "r2", "compact") != base
    assert settings_of("a/b", "r1", "explained") != base
    assert settings_of("a/b", "r1", "compact") == base


@pytest.mark.parametrize("mode", ["compact", "explained"])
def test_other_words_of_prompt_or_reply_are_other_tags(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tags.tag_settings("a/b", "r1", mode)
    for change in (
        lambda patch: patch.setitem(tags.CATEGORIES, "Math", "numbers"),
        lambda patch: patch.setitem(tags.CATEGORIES, "Cooking", "food"),
        lambda patch: patch.setattr(tags, "PROMPT", tags.PROMPT + 1),
        lambda patch: patch.setitem(tags.MAX_TOKENS, mode, 31),
    ):
        with monkeypatch.context() as patch:
            change(patch)
            tags._words_of.cache_clear()
            assert tags.tag_settings("a/b", "r1", mode) != before
        tags._words_of.cache_clear()
        assert tags.tag_settings("a/b", "r1", mode) == before
