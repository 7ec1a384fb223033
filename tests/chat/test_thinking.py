"""Models that think: what becomes of a row, from the completion to what is delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from magpie_hub.chat.derive import derive
from magpie_hub.chat.format import ChatFormat
from magpie_hub.engines.base import Completion, EngineInfo, EngineStats, Sampling
from magpie_hub.gates.registry import build_gates
from magpie_hub.generate.plan import Plan
from magpie_hub.generate.rollout import Rollouts
from magpie_hub.recipe.chat import ChatOptions
from magpie_hub.recipe.config import Recipe
from magpie_hub.store.journal import Journal
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStore
from tests.tiny import write_tiny_model

QUESTION = "Which rivers flow through the city of Lyon?"
ANSWER = "Two rivers meet in Lyon: the Rhône comes from the lake, the Saône from the north."
THOUGHT = "<think>\nThe user asks about rivers in France.\n</think>\n\n"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content is defined %}<think>\n{{ m.reasoning_content }}\n</think>\n\n"
    "{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
    "<|im_start|>assistant\n{{ '<think>\n\n</think>\n\n' if not enable_thinking else '' }}"
    "{% endif %}"
)


class Scripted:
    """Asks the same question each turn, and answers as it is told."""

    info = EngineInfo("scripted", "1", "none", "none", 4, 4096)

    def __init__(self, chat: ChatFormat, answer: str) -> None:
        self.stats = EngineStats(running=0)
        self._chat = chat
        self._answer = answer
        self.prompts: list[str] = []

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        text = self._chat.decode(prompt)
        self.prompts.append(text)
        said = QUESTION if text.endswith("user\n") else self._answer
        ids = self._chat.codec.encode(said)
        cut = ids[: sampling.max_tokens]
        return Completion(cut, "stop" if len(cut) == len(ids) else "length")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(write_tiny_model(tmp_path_factory.mktemp("tiny")))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def lived(
    tokenizer: Any,
    folder: Path,
    answer: str,
    *,
    thinking: bool,
    turns: int = 1,
    rules: dict[str, Any] | None = None,
    **respond: Any,
) -> tuple[Any, Scripted]:
    """The records of a row, and the engine that it was drawn with."""
    chat = derive(tokenizer, options=ChatOptions(thinking=thinking))
    recipe = Recipe.model_validate(
        {
            "name": "toy",
            "description": "A toy.",
            "model": "toy/model",
            "turns": turns,
            "respond": respond,
            "later_turns": {"system": None},
            "chat": {"thinking": thinking},
        }
    )
    later = Journal(folder / "later.db") if turns > 1 else None
    row_store = RowStore(Journal(folder / "first.db"), later, turns)
    engine: Any = Scripted(chat, answer)
    pending = PendingTurns(row_store)
    asyncio.run(Rollouts(Plan(recipe), chat, engine, build_gates(rules), pending).run(0))
    pending.commit()
    return [row_store.get(0, turn) for turn in range(1, turns + 1)], engine


def test_only_the_answer_is_kept_as_the_response(tokenizer: Any, tmp_path: Path) -> None:
    (record,), _ = lived(tokenizer, tmp_path, THOUGHT + ANSWER, thinking=True)
    assert record.reason is None
    assert record.response == ANSWER
    assert record.response_finish == "stop"


def test_later_turns_are_shown_the_answer_alone(tokenizer: Any, tmp_path: Path) -> None:
    records, engine = lived(tokenizer, tmp_path, THOUGHT + ANSWER, thinking=True, turns=2)
    assert [record.reason for record in records] == [None, None]
    assert all("<think>" not in prompt for prompt in engine.prompts)
    assert engine.prompts[-1].count(ANSWER) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("<think>\nThe user asks", "response.unfinished_thinking"),
        (THOUGHT, "response.empty"),
        (THOUGHT + "\n \n", "response.empty"),
        (f"{THOUGHT}{ANSWER}\n{THOUGHT}{ANSWER}", "response.thinking"),
    ],
    ids=["without an end", "without an answer", "white space behind it", "twice"],
)
@pytest.mark.parametrize("rules", [{}, {"empty": False, "leak": False, "cut_off": False}])
def test_nothing_half_is_delivered_whatever_gates_are_on(
    tokenizer: Any, tmp_path: Path, answer: str, reason: str, rules: dict[str, Any]
) -> None:
    (record,), _ = lived(tokenizer, tmp_path, answer, thinking=True, rules=rules)
    assert record.reason == reason


def test_a_thought_that_the_token_limit_cuts_is_unfinished(tokenizer: Any, tmp_path: Path) -> None:
    (record,), _ = lived(tokenizer, tmp_path, THOUGHT + ANSWER, thinking=True, max_tokens=20)
    assert record.reason == "response.unfinished_thinking"
    (record,), _ = lived(
        tokenizer, tmp_path / "late", THOUGHT + ANSWER, thinking=True, max_tokens=80
    )
    assert record.reason == "response.cut_off"


@pytest.mark.parametrize("rules", [{}, {"empty": False, "leak": False}])
def test_a_response_that_thinks_although_it_should_not_is_no_row(
    tokenizer: Any, tmp_path: Path, rules: dict[str, Any]
) -> None:
    (record,), engine = lived(tokenizer, tmp_path, THOUGHT + ANSWER, thinking=False, rules=rules)
    assert record.reason == "response.thinking"
    assert engine.prompts[-1].endswith("<think>\n\n</think>\n\n")


def test_an_answer_without_a_thought_passes_either_way(tokenizer: Any, tmp_path: Path) -> None:
    for thinking in (False, True):
        folder = tmp_path / str(thinking)
        (record,), _ = lived(tokenizer, folder, ANSWER, thinking=thinking)
        assert (record.reason, record.response) == (None, ANSWER)
