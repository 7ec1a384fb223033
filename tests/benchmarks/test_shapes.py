"""The shapes of the generation benchmark: the same rows, in the calls that each is known for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import shapes
from benchmarks.measured import Place, Run, measure, prompt_tokens
from magpie_hub.engines.base import Completion, Sampling
from magpie_hub.gates.registry import build_gates
from magpie_hub.generate.plan import Plan
from magpie_hub.recipe.config import Recipe
from tests.toy import USER, ToyChat, ToyEngine


def job(turns: int = 1) -> shapes.Job:
    recipe = Recipe(name="toy", description="A toy.", model="toy/model", turns=turns)
    return shapes.Job(Plan(recipe), ToyChat(), build_gates(), turns)  # type: ignore[arg-type]


class Calls(ToyEngine):
    """An engine that remembers which requests were in flight together when each began."""

    def __init__(self) -> None:
        super().__init__(slots=1000, delay=0.002)
        self.begun: list[tuple[str, int]] = []
        self._now = 0

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        self._now += 1
        self.begun.append(("user" if prompt[-1] == USER else "assistant", self._now))
        try:
            return await super().generate(prompt, sampling)
        finally:
            self._now -= 1


def made(engine: ToyEngine, shape: str, turns: int, rows: int, batch: int = 3) -> Run:
    todo = job(turns)
    function = getattr(shapes, shape)
    return asyncio.run(
        measure(engine, shapes.places(todo), lambda e: function(e, todo, rows, batch))
    )


def asked(run: Run) -> set[tuple[Place, tuple[int, ...], int]]:
    return {(r.place, r.prompt, r.sampling.seed) for r in run.watched.requests}


@pytest.mark.parametrize("turns", [1, 3])
def test_every_shape_makes_the_same_rows_by_the_same_requests(tmp_path: Path, turns: int) -> None:
    todo, rows = job(turns), 8

    async def both() -> tuple[Run, Run]:
        engine = ToyEngine(slots=2, delay=0.001)
        mine = await measure(
            engine, shapes.places(todo), lambda e: shapes.ours(e, todo, rows, tmp_path)
        )
        return mine, await measure(engine, shapes.places(todo), lambda e: shapes.limit(e, mine))

    mine, bound = asyncio.run(both())
    assert mine.watched.full is not None
    assert bound.watched.full is not None
    finished = round(mine.figures["rows"] or 0)
    assert mine.figures["kept"] == finished >= rows
    assert asked(bound) == asked(mine)
    for peer in ("official", "distilabel"):
        theirs = made(ToyEngine(), peer, turns, rows)
        assert theirs.figures["kept"] == rows
        assert {one for one in asked(mine) if one[0].row_id < rows} == asked(theirs)


@given(rows=st.integers(1, 9), batch=st.integers(1, 5), turns=st.integers(1, 2))
def test_the_official_loop_asks_everything_before_it_answers_anything(
    rows: int, batch: int, turns: int
) -> None:
    engine = Calls()
    made(engine, "official", turns, rows, batch)
    sides = [side for side, _ in engine.begun]
    assert sides == (["user"] * rows + ["assistant"] * rows) * turns
    drained = [1 + number % batch for number in range(rows)]
    assert [together for _, together in engine.begun] == drained * 2 * turns


@given(rows=st.integers(1, 9), batch=st.integers(1, 5), turns=st.integers(1, 2))
def test_distilabel_answers_a_call_before_it_asks_the_next(
    rows: int, batch: int, turns: int
) -> None:
    engine = Calls()
    made(engine, "distilabel", turns, rows, batch)
    wanted = []
    for start in range(0, rows, batch):
        together = range(1, min(batch, rows - start) + 1)
        for side in ("user", "assistant") * turns:
            wanted += [(side, number) for number in together]
    assert engine.begun == wanted


def test_peers_pay_for_what_the_gates_reject_and_do_not_keep_it(tmp_path: Path) -> None:
    def script(role: str, prompt: object, sampling: Sampling) -> str | None:
        return "" if role == "user" and sampling.seed % 3 == 0 else None

    todo = job()
    mine = asyncio.run(
        measure(
            ToyEngine(script, slots=1),
            shapes.places(todo),
            lambda e: shapes.ours(e, todo, 10, tmp_path),
        )
    )
    rows = round(mine.figures["rows"] or 0)
    theirs = made(ToyEngine(script), "official", 1, rows)
    assert theirs.figures["kept"] == mine.figures["kept"] >= 10
    assert theirs.figures["requests"] == 2 * rows
    assert mine.figures["requests"] < theirs.figures["requests"]


def test_the_last_rows_begin_when_fewer_are_in_flight_than_slots(tmp_path: Path) -> None:
    class Stepping(ToyEngine):
        """A step a request, so that counters tell how far it was."""

        async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
            made = await super().generate(prompt, sampling)
            self.stats.steps = (self.stats.steps or 0) + 1
            return made

    todo = job()

    async def both() -> tuple[Run, Run]:
        engine = Stepping(slots=4, delay=0.01)
        mine = await measure(
            engine, shapes.places(todo), lambda e: shapes.ours(e, todo, 12, tmp_path)
        )
        return mine, await measure(engine, shapes.places(todo), lambda e: shapes.limit(e, mine))

    mine, bound = asyncio.run(both())
    # All is known to the limit: its last slots' worth is of as many requests as there are slots.
    assert bound.figures["steps_of_the_last_rows"] == pytest.approx(4, abs=1)
    # Ours has at least a row a slot before it: an instruction and a response each, at most.
    assert 1 <= (mine.figures["steps_of_the_last_rows"] or 0) <= 2 * 4


def test_of_equal_instructions_one_is_kept() -> None:
    engine = ToyEngine(lambda role, *_: "What is copper?" if role == "user" else None)
    assert made(engine, "official", 1, 5).figures["kept"] == 1


def test_prompt_tokens_are_told_apart_by_turn_and_by_what_the_cache_served() -> None:
    run = made(ToyEngine(), "official", 2, 2)
    requests = [
        replace(r, completion=replace(r.completion, cached_tokens=len(r.prompt) // 2))
        for r in run.watched.requests
    ]
    later = [r for r in requests if r.place.turn == 2]
    found = prompt_tokens(requests)
    assert found["prompt_tokens"] == sum(len(r.prompt) for r in requests)
    assert found["later_prompt_tokens"] == sum(len(r.prompt) for r in later)
    assert found["later_prompt_tokens_computed"] == sum(
        len(r.prompt) - len(r.prompt) // 2 for r in later
    )
    assert (
        prompt_tokens([r for r in requests if r.place.turn == 1])["later_prompt_share_computed"]
        is None
    )
