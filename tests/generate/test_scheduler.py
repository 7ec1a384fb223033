"""Growing a book with a toy engine: exactness, order, gates, duplicates, resume, giving up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magpie_hub.engines.base import Sampling
from magpie_hub.errors import EngineError, YieldError
from magpie_hub.gates.registry import build_gates
from magpie_hub.generate.plan import Plan, stage_seed
from magpie_hub.generate.rollout import Rollouts
from magpie_hub.generate.scheduler import Progress, run_rollouts
from magpie_hub.generate.tracker import PrefixTracker
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.sampling import Instruct, SystemPrompt
from magpie_hub.selection.deliver import Delivery, deliver
from magpie_hub.store.journal import Journal
from magpie_hub.store.labels import Label
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import QualityThreshold, RowStore
from tests.toy import SYSTEM, USER, ToyChat, ToyEngine


def recipe(**fields: object) -> Recipe:
    return Recipe.model_validate(
        {"name": "toy", "description": "A toy.", "model": "toy/model", "rows": 20, **fields}
    )


def open_book(folder: Path, turns: int = 1) -> RowStore:
    later = Journal(folder / "later.db") if turns > 1 else None
    return RowStore(Journal(folder / "first.db"), later, turns)


def run(row_store: RowStore, engine: ToyEngine, made: Recipe, **more: Any) -> Progress:
    from magpie_hub.selection.deliver import wanted_rows

    pending = PendingTurns(row_store)
    rollouts = Rollouts(Plan(made), ToyChat(), engine, build_gates(made.gates.rules), pending)
    tracker = PrefixTracker(row_store, wanted_rows(made))
    return asyncio.run(
        run_rollouts(tracker, rollouts, pending, engine, min_yield=made.min_yield, **more)
    )


def instructions(row_store: RowStore, made: Recipe) -> dict[int, list[str]]:
    delivery = deliver(row_store, made)
    assert delivery is not None
    return {i: [turn.instruction for turn in row_store.conversation(i)] for i in delivery.row_ids}


def test_exactly_the_rows_asked_for(tmp_path: Path) -> None:
    made, row_store = recipe(), open_book(tmp_path)
    run(row_store, ToyEngine(delay=0.002), made)
    delivery = deliver(row_store, made)
    assert delivery is not None
    assert list(delivery.row_ids) == list(range(20))
    assert delivery.funnel.to_json() == {"planned": 20, "rejected": {}, "delivered": 20}


def test_a_finished_book_generates_nothing(tmp_path: Path) -> None:
    made, row_store = recipe(), open_book(tmp_path)
    run(row_store, ToyEngine(), made)
    engine = ToyEngine()
    run(row_store, engine, made)
    assert engine.calls == []


def test_more_rows_continue_fewer(tmp_path: Path) -> None:
    row_store = open_book(tmp_path)
    run(row_store, ToyEngine(delay=0.001), recipe(rows=10))
    before = instructions(row_store, recipe(rows=10))
    engine = ToyEngine(delay=0.001)
    run(row_store, engine, recipe(rows=15))
    after = instructions(row_store, recipe(rows=15))
    assert {i: after[i] for i in before} == before
    assert len(engine.calls) <= 2 * 5


def test_rows_above_a_missing_one_are_not_generated_again(tmp_path: Path) -> None:
    whole = open_book(tmp_path / "whole")
    run(whole, ToyEngine(), recipe(rows=12))
    row_store = open_book(tmp_path / "gaps")
    assert row_store.last == -1
    for row_id in (0, 1, 4, 5, 9):
        row_store.first.put_many([whole.get(row_id, 1)])  # type: ignore[list-item]
    assert row_store.last == 9
    engine = ToyEngine(slots=1)
    run(row_store, engine, recipe(rows=12))
    assert instructions(row_store, recipe(rows=12)) == instructions(whole, recipe(rows=12))
    assert len(engine.calls) == 2 * (12 - 5)


def test_slots_stay_busy(tmp_path: Path) -> None:
    engine = ToyEngine(slots=8, delay=0.004)
    run(open_book(tmp_path), engine, recipe(rows=100))
    assert engine.most_at_once == 8


def test_prompts_chain_token_ids_and_only_users_see_the_system_prompt(tmp_path: Path) -> None:
    made, row_store, engine = recipe(rows=1, turns=2), open_book(tmp_path, 2), ToyEngine(slots=1)
    run(row_store, engine, made)
    by_prompt = {prompt: sampling for prompt, sampling in engine.calls if row_store.get(0, 1)}
    one, two = row_store.conversation(0)
    chat = ToyChat()
    history = [(one.instruction_ids, one.response_ids or ())]
    system = made.later_turns.system
    expected = [
        tuple(chat.query_prompt([])),
        tuple(chat.answer_prompt([], one.instruction_ids)),
        tuple(chat.query_prompt(history, system)),
        tuple(chat.answer_prompt(history, two.instruction_ids)),
    ]
    row_zero = [prompt for prompt in expected if prompt in by_prompt]
    assert row_zero == expected
    assert SYSTEM not in expected[3]
    assert SYSTEM in expected[2]


def test_each_request_has_the_seed_of_its_row_stage_and_turn(tmp_path: Path) -> None:
    made, row_store, engine = recipe(rows=5, turns=2), open_book(tmp_path, 2), ToyEngine()
    run(row_store, engine, made)
    plan = Plan(made)
    expected = {
        stage_seed(plan.row(row).seed, stage, turn)
        for row in range(5)
        for stage in ("instruct", "respond")
        for turn in (1, 2)
    }
    assert expected <= {sampling.seed for _, sampling in engine.calls}


def ends_with_colon(share: int):
    """A script by which one in `share` instructions ends with a colon."""

    def script(role: str, prompt: object, sampling: Sampling) -> str | None:
        if role == "user" and sampling.seed % share == 0:
            return f"Consider the following {sampling.seed}:"
        return None

    return script


def test_rejects_cost_no_response_and_the_funnel_adds_up(tmp_path: Path) -> None:
    made, row_store = recipe(rows=40), open_book(tmp_path)
    engine = ToyEngine(ends_with_colon(3), delay=0.001)
    progress = run(row_store, engine, made)
    delivery = deliver(row_store, made)
    assert delivery is not None
    funnel = delivery.funnel
    assert funnel.delivered == 40
    assert funnel.rejected["instruction.colon"] > 5
    assert funnel.planned == funnel.delivered + sum(funnel.rejected.values())
    counts = row_store.first.counts(1)
    answers = sum(prompt[-1] != 257 for prompt, _ in engine.calls)
    assert answers == counts[""]
    assert progress.passed >= 40


def test_gates_after_responding_pay_for_rejects_too(tmp_path: Path) -> None:
    made = recipe(rows=20, gates={"before_responding": False})
    row_store, engine = open_book(tmp_path), ToyEngine(ends_with_colon(3))
    run(row_store, engine, made)
    rejected = [m.row_id for m in row_store.first.turn_index() if m.reason == "instruction.colon"]
    assert rejected
    assert all(row_store.get(row, 1).response for row in rejected)


def test_a_response_cut_by_the_limit_is_rejected_and_marked(tmp_path: Path) -> None:
    made, row_store = recipe(rows=5, respond={"max_tokens": 200}), open_book(tmp_path)

    def script(role: str, prompt: object, sampling: Sampling) -> str | None:
        if role == "assistant" and sampling.seed % 2:
            return "".join(
                chr(97 + (i * i + sampling.seed) % 26) + " " * (i % 3) for i in range(300)
            )
        return None

    run(row_store, ToyEngine(script), made)
    cut = [m.row_id for m in row_store.first.turn_index() if m.reason == "response.cut_off"]
    assert cut
    assert all(row_store.get(row, 1).response_finish == "length" for row in cut)


def repeats(role: str, prompt: object, sampling: Sampling) -> str | None:
    return f"What is {sampling.seed % 7} plus one?" if role == "user" else None


def test_of_equal_instructions_the_lowest_row_stays(tmp_path: Path) -> None:
    made, row_store = recipe(rows=7), open_book(tmp_path)
    run(row_store, ToyEngine(repeats, delay=0.003), made)
    kept = instructions(row_store, made)
    assert len({text for turns in kept.values() for text in turns}) == 7
    seen: dict[str, int] = {}
    for mark in row_store.first.turn_index():
        text = row_store.get(mark.row_id, 1).instruction
        seen.setdefault(text, mark.row_id)
    assert {i: turns[0] for i, turns in kept.items()} == {i: text for text, i in seen.items()}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(slots=st.integers(1, 12), delay=st.sampled_from([0, 0.002]), kills=st.integers(0, 3))
def test_what_is_delivered_depends_on_neither_timing_nor_crashes(
    tmp_path_factory: pytest.TempPathFactory, slots: int, delay: float, kills: int
) -> None:
    def script(role: str, prompt: object, sampling: Sampling) -> str | None:
        if role == "user" and sampling.seed % 4 == 0:
            return f"Tell me about {sampling.seed % 5}"
        return "" if sampling.seed % 11 == 0 else None

    made = recipe(rows=25, turns=2)
    plain = open_book(tmp_path_factory.mktemp("plain"), 2)
    run(plain, ToyEngine(script, slots=1), made)
    row_store = open_book(tmp_path_factory.mktemp("other"), 2)
    for kill in range(kills):
        with pytest.raises(EngineError):
            run(row_store, ToyEngine(script, slots=slots, delay=delay, dies_after=9 + kill), made)
    run(row_store, ToyEngine(script, slots=slots, delay=delay), made)
    assert instructions(row_store, made) == instructions(plain, made)
    assert deliver(row_store, made).funnel == deliver(plain, made).funnel


def test_turns_continue_what_single_turns_left_and_the_other_way_round(tmp_path: Path) -> None:
    single, double = recipe(rows=12), recipe(rows=12, turns=2)
    row_store = open_book(tmp_path)
    run(row_store, ToyEngine(delay=0.001), single)
    both = RowStore(row_store.first, Journal(tmp_path / "later.db"), 2)
    engine = ToyEngine()
    run(both, engine, double)
    assert len(engine.calls) == 2 * 12
    first = {i: turns[0] for i, turns in instructions(both, double).items()}
    assert first == {i: turns[0] for i, turns in instructions(row_store, single).items()}
    engine = ToyEngine()
    run(row_store, engine, single)
    assert engine.calls == []


def test_the_longest_of_more_rows_are_delivered(tmp_path: Path) -> None:
    made, row_store = recipe(rows=10, oversample=2.0), open_book(tmp_path)
    run(row_store, ToyEngine(), made)
    delivery = deliver(row_store, made)
    assert delivery is not None
    lengths = {i: len(row_store.get(i, 1).response or "") for i in range(20)}
    longest = sorted(lengths, key=lambda i: (-lengths[i], i))[:10]
    assert list(delivery.row_ids) == sorted(longest)
    assert delivery.funnel.rejected == {"selection.shorter": 10}


def test_a_hopeless_yield_gives_up_and_loses_nothing(tmp_path: Path) -> None:
    made, row_store = recipe(rows=100, min_yield=0.5), open_book(tmp_path)
    with pytest.raises(YieldError, match="min_yield") as caught:
        run(row_store, ToyEngine(ends_with_colon(1)), made)
    assert "\n" not in str(caught.value)
    assert row_store.first.counts(1)["instruction.colon"] >= 200


def test_a_dead_engine_is_said_and_finished_rows_are_kept(tmp_path: Path) -> None:
    made, row_store = recipe(rows=30), open_book(tmp_path)
    with pytest.raises(EngineError, match="dead"):
        run(row_store, ToyEngine(dies_after=21), made)
    kept = sum(row_store.first.counts(1).values())
    assert 0 < kept < 30
    engine = ToyEngine()
    run(row_store, engine, made)
    assert len(engine.calls) == 2 * (30 - kept)


def test_a_conversation_that_fills_the_context_is_a_reject(tmp_path: Path) -> None:
    def wordy_when_odd(role: str, prompt: object, sampling: Sampling) -> str | None:
        if role == "assistant" and sampling.seed % 2:
            return " ".join(str(sampling.seed * n) for n in range(1, 40))
        return None

    made, row_store = recipe(rows=6, turns=2, later_turns={"system": None}), open_book(tmp_path, 2)
    run(row_store, ToyEngine(wordy_when_odd, max_model_len=500), made)
    # A prompt that leaves no room for a word is not sent: its words are cut off at none.
    reasons = row_store.later.counts(2)
    assert reasons["instruction_2.cut_off"] > 0
    assert "instruction_2.empty" not in reasons
    assert deliver(row_store, made).funnel.delivered == 6


def test_a_run_whose_prompts_fill_the_context_names_max_model_len(tmp_path: Path) -> None:
    wordy = SystemPrompt(name="wordy", text="word " * 100)
    made = recipe(rows=300, instruct=Instruct(systems=(wordy,)))
    with pytest.raises(YieldError) as caught:
        run(open_book(tmp_path), ToyEngine(max_model_len=300), made)
    said = str(caught.value)
    assert "instruction.cut_off" in said
    assert "turns were cut off at the end of the context of 300 tokens" in said
    assert "raise max_model_len" in said


def test_watchers_see_the_run(tmp_path: Path) -> None:
    seen: list[int] = []
    run(
        open_book(tmp_path),
        ToyEngine(delay=0.02, slots=2),
        recipe(rows=30),
        watch=lambda progress: seen.append(progress.passed),
        every=0.02,
    )
    assert seen[0] == 0
    assert seen == sorted(seen)
    assert seen[-1] >= 30


def grow_tagged(
    row_store: RowStore, engine: ToyEngine, made: Recipe, tagged: list[int]
) -> Delivery | None:
    """Grows a book whose odd rows are tagged poor and whose even rows are tagged good."""

    async def tag(row_id: int, instruction: str) -> Label:
        assert instruction
        tagged.append(row_id)
        return Label(row_id, {"input_quality": "poor" if row_id % 2 else "good"})

    pending = PendingTurns(row_store)
    rollouts = Rollouts(Plan(made), ToyChat(), engine, build_gates(), pending, tag)
    asyncio.run(run_rollouts(PrefixTracker(row_store, made.rows), rollouts, pending, engine))
    return deliver(row_store, made)


def test_an_instruction_under_the_bar_costs_no_response_until_the_bar_is_lowered(
    tmp_path: Path,
) -> None:
    engine, made, tagged = ToyEngine(slots=4), recipe(rows=10), list[int]()
    row_store = open_book(tmp_path)
    row_store.threshold = QualityThreshold(frozenset({"good", "excellent"}), "a tagger")
    delivery = grow_tagged(row_store, engine, made, tagged)
    assert delivery is not None
    assert list(delivery.row_ids) == list(range(0, 20, 2))
    assert delivery.funnel.rejected == {"instruction.quality": 9}
    shelved = [row_store.get(row, 1) for row in range(1, 19, 2)]
    assert [(turn.reason, turn.response) for turn in shelved if turn] == [
        ("instruction.quality:poor@a tagger", None)
    ] * 9
    answers = sum(prompt[-1] != USER for prompt, _ in engine.calls)
    assert answers <= sum(row % 2 == 0 for row in tagged)
    before = {row: row_store.get(row, 1) for row in delivery.row_ids}

    row_store.threshold = QualityThreshold(frozenset({"poor", "good", "excellent"}), "a tagger")
    engine = ToyEngine(slots=4)
    delivery = grow_tagged(row_store, engine, made, [])
    assert delivery is not None
    assert list(delivery.row_ids) == list(range(10))
    assert all(prompt[-1] != USER for prompt, _ in engine.calls), "the instructions were there"
    assert all(row_store.get(row, 1) == before[row] for row in range(0, 10, 2))
    assert all(row_store.get(row, 1).response for row in range(1, 10, 2))  # type: ignore[union-attr]


def test_another_tagger_looks_again_at_what_was_shelved(tmp_path: Path) -> None:
    made, tagged = recipe(rows=5), list[int]()
    row_store = open_book(tmp_path)
    row_store.threshold = QualityThreshold(frozenset({"good"}), "a tagger")
    grow_tagged(row_store, ToyEngine(slots=4), made, [])
    row_store.threshold = QualityThreshold(frozenset({"good"}), "another")
    delivery = grow_tagged(row_store, ToyEngine(slots=4), made, tagged)
    assert {1, 3, 5, 7} <= set(tagged), "those that were not answered"
    assert not {0, 2, 4, 6, 8} & set(tagged), "and no other that is needed"
    assert delivery is not None
    assert delivery.funnel.rejected == {"instruction.quality": 4}


def test_a_recipe_without_a_bar_answers_what_was_shelved(tmp_path: Path) -> None:
    made = recipe(rows=6)
    row_store = open_book(tmp_path)
    row_store.threshold = QualityThreshold(frozenset({"good"}), "a tagger")
    grow_tagged(row_store, ToyEngine(slots=4), made, [])
    row_store.threshold = None
    run(row_store, ToyEngine(slots=4), made)
    assert list(deliver(row_store, made).row_ids) == list(range(6))  # type: ignore[union-attr]
