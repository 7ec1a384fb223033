"""The replay: its clock against a clock that takes every step, and shapes that lose nothing."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import replay as shapes
from benchmarks.replay import Recording, Rows, measure, section
from benchmarks.replay_engine import ReplayEngine, replay
from magpie_hub.engines.base import Engine, EngineStats, Sampling
from magpie_hub.errors import UserError

Chain = list[tuple[int, bool]]
"""Requests of one caller, one after another: tokens, and whether a stop token comes after them."""

chains = st.lists(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=4), min_size=1, max_size=12
)


@dataclass
class Told:
    """What came of a run."""

    stats: EngineStats
    heard: list[tuple[int, int, int]] = field(default_factory=list)
    """Step, caller and place of each answer, in the order in which they were heard."""


def by_jumps(work: Sequence[Chain], slots: int, delay: int) -> Told:
    engine = ReplayEngine(slots, delay=delay)
    told = Told(engine.stats)

    async def call(caller: int) -> None:
        for place, (tokens, stops) in enumerate(work[caller]):
            made = await engine.generate((), Sampling(tokens, stop_ids=(7,) if stops else ()))
            assert len(made.ids) == tokens
            assert (made.finish_reason, made.stop_id) == (
                ("stop", 7) if stops else ("length", None)
            )
            told.heard.append((engine.now, caller, place))

    async def everybody() -> None:
        await asyncio.gather(*map(call, range(len(work))))

    replay(engine, everybody())
    return told


def by_steps(work: Sequence[Chain], slots: int, delay: int) -> Told:
    """One step at a time, as the docstring of the engine has it."""
    told, now = Told(EngineStats(steps=0, busy_slot_steps=0, running=0)), 0
    waiting = deque((caller, 0) for caller, chain in enumerate(work) if chain)
    running: list[list[int]] = []
    heard_at: dict[int, list[tuple[int, int]]] = {}
    while waiting or running or heard_at:
        while waiting and len(running) < slots:
            caller, place = waiting.popleft()
            tokens, stops = work[caller][place]
            running.append([caller, place, tokens + stops])
        now += 1
        told.stats.steps += bool(running)
        told.stats.busy_slot_steps += len(running)
        told.stats.decoded_tokens += len(running)
        for request in running:
            request[2] -= 1
            if not request[2]:
                heard_at.setdefault(now + delay, []).append((request[0], request[1]))
        running = [request for request in running if request[2]]
        for caller, place in heard_at.pop(now, []):
            told.heard.append((now, caller, place))
            if place + 1 < len(work[caller]):
                waiting.append((caller, place + 1))
    return told


@given(work=chains, slots=st.integers(1, 6), delay=st.integers(0, 3))
def test_jumping_from_end_to_end_counts_what_single_steps_count(
    work: list[Chain], slots: int, delay: int
) -> None:
    assert by_jumps(work, slots, delay) == by_steps(work, slots, delay)


def test_it_is_an_engine() -> None:
    assert isinstance(ReplayEngine(2), Engine)


def test_a_cancelled_request_frees_its_slot_and_a_waiting_one_takes_none() -> None:
    engine = ReplayEngine(2)

    async def work() -> None:
        runs, waits, last = (
            asyncio.ensure_future(engine.generate((), Sampling(tokens))) for tokens in (99, 50, 3)
        )
        await engine.generate((), Sampling(2))
        runs.cancel()
        waits.cancel()
        await last

    replay(engine, work())
    assert (engine.now, engine.stats.busy_slot_steps, engine.stats.running) == (5, 2 * 2 + 3, 0)


def test_time_stands_still_while_anybody_can_go_on() -> None:
    engine = ReplayEngine(2)

    async def dawdle() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        await engine.generate((), Sampling(5))

    async def work() -> None:
        await asyncio.gather(engine.generate((), Sampling(5)), dawdle())

    replay(engine, work())
    assert (engine.stats.steps, engine.stats.busy_slot_steps) == (5, 10)


def test_waiting_for_nothing_is_an_error_and_no_hang() -> None:
    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="no request runs"):
        replay(ReplayEngine(2), work())


def recording(rows: Sequence[Sequence[int]], turns: int = 1, slots: int = 4) -> Recording:
    kept = tuple(tuple(row) for row in rows)
    return Recording("toy", "toy/model", "toy 1", turns, slots, kept, 100, 90)


def rows_of(turns: int) -> st.SearchStrategy[list[list[int]]]:
    """Recorded rows, the first of them whole."""
    tokens = st.integers(1, 40)
    whole = st.lists(tokens, min_size=2 * turns, max_size=2 * turns)
    rejected = st.lists(tokens, min_size=1, max_size=2 * turns)
    return st.builds(lambda first, rest: [first, *rest], whole, st.lists(rejected, max_size=8))


@given(
    recorded=st.sampled_from([1, 3]).flatmap(
        lambda turns: st.tuples(st.just(turns), rows_of(turns))
    ),
    count=st.integers(1, 120),
    slots=st.integers(1, 24),
    delay=st.integers(0, 2),
)
def test_every_shape_decodes_the_same_rows_and_none_beats_the_bound(
    recorded: tuple[int, list[list[int]]], count: int, slots: int, delay: int
) -> None:
    turns, recorded_rows = recorded
    rows = Rows.drawn(recording(recorded_rows, turns), count + 9)
    needed = [rows.requests(row_id) for row_id in range(rows.count)]
    tokens = sum(request.max_tokens + len(request.stop_ids) for row in needed for request in row)
    assert rows.steps.sum() == tokens
    assert rows.wanted == sum(len(row) == 2 * turns for row in needed)
    assert len(needed[-1]) == 2 * turns
    mine = shapes.ours(rows, slots, delay=delay)
    assert mine.busy == tokens + mine.surplus
    assert mine.surplus >= 0
    least = shapes.bound(rows, slots)
    for shape in (shapes.at_once, shapes.staged, shapes.official, shapes.distilabel):
        cost = shape(rows, slots)
        assert cost.busy == tokens
        assert cost.steps >= least.steps
    assert mine.steps >= least.steps
    assert shapes.staged(rows, slots).steps >= rows.steps.max(axis=0).sum()


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=60),
    slots=st.integers(1, 8),
    batch=st.integers(1, 12),
)
def test_drained_calls_take_what_the_engine_takes_for_them(
    lengths: list[int], slots: int, batch: int
) -> None:
    engine = ReplayEngine(slots)

    async def work() -> None:
        for start in range(0, len(lengths), batch):
            call = lengths[start : start + batch]
            await asyncio.gather(*(engine.generate((), Sampling(length)) for length in call))

    replay(engine, work())
    assert shapes.calls(np.array(lengths), batch, slots).sum() == engine.stats.steps


def test_only_the_longest_requests_of_a_side_end_without_a_stop_token() -> None:
    rows = Rows.recorded(recording([[5, 20], [8, 9], [8], [3, 20]]))
    assert rows.steps.tolist() == [[6, 20], [8, 10], [8, 0], [4, 20]]


def test_the_same_seed_draws_the_same_rows() -> None:
    made = recording([[tokens, 2 * tokens] for tokens in range(1, 50)])
    first, again, other = (Rows.drawn(made, 300, seed).steps for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_recording_without_a_whole_row_is_refused() -> None:
    with pytest.raises(UserError, match="record more rows"):
        Rows.recorded(recording([[3], [4]]))


def test_slots_are_full_until_the_last_rows() -> None:
    made = recording([[tokens % 7 + 1, tokens % 31 + 1] for tokens in range(200)])
    rows = Rows.drawn(made, 2_000)
    mine = shapes.ours(rows, 16, delay=1)
    assert mine.occupancy_until_tail is not None
    assert mine.occupancy_until_tail > 0.99


def test_published_lengths_have_the_published_mean_and_deviation() -> None:
    made = Recording.published()
    turns = [sum(row) for row in made.rows]
    assert statistics.mean(turns) == pytest.approx(426.39, rel=0.02)
    assert statistics.stdev(turns) == pytest.approx(217.39, rel=0.05)
    assert all(instruction < response for instruction, response in made.rows)


def test_the_report_reads_the_same_from_the_printed_object() -> None:
    single = recording([[5, 30], [9, 12], [7], [3, 40], [6, 40]])
    double = recording([[5, 30, 4, 9], [9, 12, 8], [7], [3, 40, 6, 11]], turns=2)
    recordings = [measure(made, 400, 1, 0) for made in (single, double)]
    found = {"rows": 400, "delay": 1, "recordings": recordings}
    text = section(found)
    assert text == section(json.loads(json.dumps(found)))
    assert text.startswith("## Scheduling, replayed\n")
    assert text.count("\n| 512 | 64 | ") == 2
    assert "steps, recorded 100;" in text
    for said in recordings:
        own = said["slots"]["512"]
        assert own["over_bound"]["64"]["bound"] == own["over_ours"]["64"]["ours"] == 1
        assert own["shapes"]["bound"]["occupancy"] == 1


def test_quick_rejects_do_not_start_a_flood_of_rows() -> None:
    """Of rows in flight more pass than of those that finish first, which says little of them."""
    lengths = ((5,), (50, 300), (50, 300), (50, 300), (50, 300))  # a fifth is rejected at once
    recording = Recording("quick", "toy", "toy", 1, 8, lengths, None, None)
    rows = Rows.drawn(recording, 400, 0)
    run = shapes.ours(rows, 2048)
    assert run.surplus < 1.5 * (run.busy - run.surplus)
