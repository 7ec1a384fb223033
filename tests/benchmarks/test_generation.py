"""What the generation benchmarks make of their runs: ratios, targets, recordings, reports."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import generate, peers
from benchmarks.measured import Run, middle
from benchmarks.official_stage import Stage, read, stage, write
from benchmarks.shapes import Job
from magpie_hub.gates.registry import build_gates
from magpie_hub.generate.plan import Plan
from magpie_hub.recipe.config import Recipe
from tests.toy import ASSISTANT, END, USER, ToyChat, ToyEngine

MACHINE = {"processor": "a processor", "memory": "1 GiB", "date": "2026-11-27"}
ASKED = generate.Asked(2, 9, 3, 1, 9, 4, 96, 160, True, generate.BESIDE)


@pytest.fixture(scope="module")
def runs() -> tuple[ToyEngine, Recipe, dict[str, Run]]:
    recipe = Recipe(name="toy", description="A toy.", model="toy/model", turns=2)
    job = Job(Plan(recipe), ToyChat(), build_gates(), 2)  # type: ignore[arg-type]

    async def run() -> tuple[ToyEngine, dict[str, Run]]:
        engine = ToyEngine(slots=3, delay=0.001)
        return engine, await generate.each_shape(engine, job, ASKED)

    engine, found = asyncio.run(run())
    return engine, recipe, found


def test_the_report_has_every_shape_and_says_which_targets_are_met(
    runs: tuple[ToyEngine, Recipe, dict[str, Run]],
) -> None:
    engine, recipe, one = runs
    found = json.loads(json.dumps(generate.report(ASKED, engine, recipe, [one])))
    assert set(found["shapes"]) == {"ours", *generate.BESIDE}
    for name, over in found["time_a_row_ours_over"].items():
        seconds = [one[shape].figures["seconds_a_row"] or 0 for shape in ("ours", name)]
        assert over == pytest.approx(seconds[0] / seconds[1], abs=1e-3)
    # A toy has no decode steps and no prefix cache, so its slots are never full.
    assert found["targets"]["occupancy of 0.97 until the last rows"] is False
    assert found["targets"]["at most 0.4 of later prompts computed"] is False
    text = generate.section(found | {"machine": MACHINE})
    assert text.startswith("## Generating conversations of 2 turns\n")
    assert "| | limit | ours | official | distilabel |" in text
    assert "occupancy of 0.97 until the last rows: not met" in text


def test_peers_that_ran_in_one_repeat_are_compared_within_it(
    runs: tuple[ToyEngine, Recipe, dict[str, Run]],
) -> None:
    engine, recipe, one = runs
    again = {name: one[name] for name in ("ours", "limit")}
    found = generate.report(ASKED, engine, recipe, [one, again])
    alone = generate.report(ASKED, engine, recipe, [one])
    assert found["time_a_row_ours_over"] == alone["time_a_row_ours_over"]
    assert found["shapes"]["official"] == alone["shapes"]["official"]


def test_a_recording_holds_the_requests_of_finished_rows(
    runs: tuple[ToyEngine, Recipe, dict[str, Run]],
) -> None:
    engine, recipe, one = runs
    said = json.loads(json.dumps(generate.recording(ASKED, engine, recipe, one)))
    mine = one["ours"]
    assert len(said["rows"]) == mine.figures["rows"]
    assert all(len(row) == 4 for row in said["rows"])
    assert {"model", "slots", "engine", "turns", "steps", "limit_steps", "tokens"} < set(said)
    by_place = {r.place: len(r.completion.ids) for r in mine.watched.requests}
    assert said["rows"][0] == [by_place[place] for place in sorted(by_place) if place.row_id == 0]


def test_medians_go_figure_by_figure() -> None:
    runs = [{"a": 1, "b": None, "c": {"d": 2.0}}, {"a": 3, "b": 5, "c": {"d": 4.0}}]
    assert middle(runs) == {"a": 2, "b": 5, "c": {"d": 3.0}}


def test_the_official_filter_keeps_as_many_as_ours_the_longest_responses(tmp_path: Path) -> None:
    rows = [{"id": number, "response": "x" * (number * 7 % 5)} for number in range(5)]
    write(tmp_path / "category.json", rows)
    write(tmp_path / "asked.json", {"kept": 2})
    asyncio.run(stage("filter", tmp_path))
    assert [row["id"] for row in read(tmp_path / "filter.json")] == [2, 4]


class Bytes:
    """A tokenizer and its codec: a token is a byte, and tags are one token each."""

    tokenizer: Any

    def __init__(self) -> None:
        self.tokenizer = self

    def __len__(self) -> int:
        return 256

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        head, _, words = text.partition("<user>")
        assert not head
        words = words.removesuffix("<assistant>")
        return {"input_ids": [USER, *words.encode(), END, ASSISTANT]}

    def apply_chat_template(
        self, messages: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        assert add_generation_prompt
        assert not tokenize
        return f"<user>{messages[0]['content']}<assistant>"

    def decode(self, ids: Any, *, skip_special_tokens: bool = False) -> str:
        return " " + bytes(ids).decode(errors="replace") + "\n"


class TextChat(ToyChat):
    pre_query = (USER,)
    codec = Bytes()


def test_the_official_stages_hand_text_on_call_by_call(tmp_path: Path) -> None:
    recipe = Recipe(name="toy", description="A toy.", model="toy/model")
    engine = ToyEngine(lambda role, *_: None, slots=100, delay=0.002)
    work = Stage(engine, TextChat(), recipe, tmp_path, {"planned": 5, "batch": 2, "tag_tokens": 7})

    async def all_stages() -> None:
        await work.instruct()
        await work.respond()
        for name in ("difficulty", "quality", "category"):
            await work.tag(name)

    asyncio.run(all_stages())
    rows = read(tmp_path / "category.json")
    assert [row["id"] for row in rows] == list(range(5))
    assert set(rows[0]) == {"id", "instruction", "response", "difficulty", "quality", "category"}
    assert rows[0]["instruction"] == rows[0]["instruction"].strip()
    assert engine.most_at_once == 2
    asked = engine.calls[5:10]
    for row in rows:
        prompt = (USER, *row["instruction"].encode(), END, ASSISTANT)
        assert prompt in [ids for ids, _ in asked]
    passes = engine.calls[10:]
    assert len(passes) == 15
    assert all(sampling.max_tokens == 7 for _, sampling in passes)
    assert all(ord("}") in sampling.stop_ids for _, sampling in passes)


def test_the_peers_report_counts_a_kept_row() -> None:
    part: dict[str, Any] = {"seconds": 1.0, "cpu_seconds": 2.0, "decoded_tokens": 30}
    side = part | {"planned": 9, "kept": 3, "prompt_tokens_computed": 60}
    figures = ("seconds", "cpu_seconds", "decoded_tokens", "prompt_tokens_computed")
    found = {
        "model": "toy/model",
        "rows": 3,
        "slots": 2,
        "repeats": 1,
        "instruct_tokens": 9,
        "respond_tokens": 9,
        "tag_tokens": 9,
        "ours": side | {"stages": {"rows": part}},
        "official": side | {"decoded_tokens": 90, "stages": {"responses": part}},
        "official_over_ours": dict.fromkeys(figures, 1.0) | {"decoded_tokens": 3.0},
        "targets": {"at least 2.0 times faster": False},
        "machine": MACHINE,
    }
    text = peers.section(found)
    assert text.startswith("## ")
    assert "| decoded tokens a kept row | 30.0 | 10.0 | **3.0** |" in text
    assert "| official: responses | 1.0 |  | 30 |" in text
    assert "at least 2.0 times faster: not met" in text
