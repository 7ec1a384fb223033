"""Other gates over journaled words: judged again, and only what is missing is generated."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magpie_hub.engines.base import Sampling
from magpie_hub.errors import EngineError
from magpie_hub.gates.registry import build_gates, verdict_settings
from magpie_hub.generate.plan import Plan, stage_seed
from magpie_hub.generate.rollout import GateJudge, Rollouts, judge_again
from magpie_hub.generate.scheduler import run_rollouts
from magpie_hub.generate.tracker import PrefixTracker
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import fingerprint
from magpie_hub.selection.deliver import deliver
from magpie_hub.store.journal import Journal
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStore
from tests.toy import ToyChat, ToyEngine

FIELDS = {"name": "toy", "description": "A toy.", "model": "toy/model", "rows": 12}
GATES: list[dict[str, Any]] = [
    {},
    {"rules": {"colon": False}},
    {"rules": {"length": {"min_words": 1, "max_words": 14, "roles": ["assistant"]}}},
    {"rules": {"colon": False}, "duplicate": False},
    {"before_responding": False},
]


def recipe(gates: dict[str, Any], **fields: Any) -> Recipe:
    return Recipe.model_validate({**FIELDS, "gates": gates, **fields})


def script(role: str, prompt: object, sampling: Sampling) -> str | None:
    """Instructions that end with a colon, or repeat; responses that are long."""
    kind = sampling.seed % 7
    if role == "user" and kind == 0:
        return f"Consider the following {sampling.seed}:"
    if role == "user" and kind == 1:
        return f"What is the colour of house number {sampling.seed % 3} in the street?"
    if role == "assistant" and kind == 2:
        return " ".join(f"Word{sampling.seed * n}" for n in range(1, 20))
    return None


class Place:
    """A folder of journals, as a run with some gates opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests = 0

    def row_store(self, made: Recipe) -> RowStore:
        gates = fingerprint(verdict_settings(made))
        later = Journal(self.folder / "later.db", gates) if made.turns > 1 else None
        return RowStore(Journal(self.folder / "first.db", gates), later, made.turns)

    def run(self, made: Recipe, *, slots: int = 4, dies_after: int | None = None) -> list[str]:
        """Judges again and generates; what was said of it."""
        row_store, said = self.row_store(made), []
        gates = build_gates(made.gates.rules)
        engine = ToyEngine(script, slots=slots, dies_after=dies_after)
        held = self.seeds(Plan(made))
        judge_again(row_store.journals, GateJudge(ToyChat(), gates, made.gates), said.append)
        pending = PendingTurns(row_store)
        rollouts = Rollouts(Plan(made), ToyChat(), engine, gates, pending)
        tracker = PrefixTracker(row_store, made.rows)
        with contextlib.suppress(EngineError):
            asyncio.run(run_rollouts(tracker, rollouts, pending, engine))
        self.requests = len(engine.calls)
        assert not held & {sampling.seed for _, sampling in engine.calls}, "generated twice"
        for journal in row_store.journals:
            journal.close()
        return said

    def seeds(self, plan: Plan) -> set[int]:
        """Seeds of all sides of all turns that are journaled."""
        held: set[int] = set()
        for path in self.folder.glob("*.db"):
            with Journal(path, readonly=True) as journal:
                for words in journal.texts(0, 10**6):
                    seed = plan.row(words.row_id).seed
                    held.add(stage_seed(seed, "instruct", words.turn))
                    if words.response is not None:
                        held.add(stage_seed(seed, "respond", words.turn))
        return held

    def delivered(self, made: Recipe) -> Any:
        """The rows' words, and the funnel."""
        row_store = self.row_store(made)
        found = deliver(row_store, made)
        assert found is not None
        words = {
            row_id: [(t.instruction, t.response) for t in row_store.conversation(row_id)]
            for row_id in found.row_ids
        }
        for journal in row_store.journals:
            journal.close()
        return words, found.funnel

    def sides(self) -> int:
        """How many instructions and responses are journaled."""
        count = 0
        for path in self.folder.glob("*.db"):
            with Journal(path, readonly=True) as journal:
                (n,) = journal._db.execute(
                    "SELECT COUNT(*) + COUNT(response) FROM turns"
                ).fetchone()
                count += n
        return count


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(GATES), st.integers(1, 8), st.none() | st.integers(1, 30)),
        min_size=1,
        max_size=4,
    ),
    turns=st.integers(1, 2),
    last=st.sampled_from(GATES),
)
def test_any_gates_kills_and_slots_before_lead_to_the_rows_of_a_fresh_run(
    steps: Any, turns: int, last: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as home:
        place, fresh = Place(Path(home, "used")), Place(Path(home, "fresh"))
        made = recipe(last, turns=turns)
        for gates, slots, dies_after in steps:
            place.run(recipe(gates, turns=turns), slots=slots, dies_after=dies_after)
        place.run(made)
        fresh.run(made)
        assert place.delivered(made) == fresh.delivered(made)
        held = place.sides()
        place.run(made)
        assert place.requests == 0
        assert place.sides() == held


def test_lists_of_gates_take_turns_and_pay_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for gates in [*GATES, *reversed(GATES)]:
        place.run(recipe(gates, turns=2), slots=2)
    for gates in GATES:
        place.run(recipe(gates, turns=2), slots=2)
        assert place.requests == 0


def test_a_changed_gate_of_responses_generates_nothing_for_rows_that_pass(tmp_path: Path) -> None:
    place, strict, mild = Place(tmp_path), recipe(GATES[2]), recipe(GATES[0])
    place.run(strict)
    held = place.sides()
    said = place.run(mild)
    assert len(said) == 1
    assert "journaled turns to judge" in said[0]
    assert place.requests == 0
    assert place.sides() == held
    assert place.run(mild) == []
    assert place.run(strict) == []


def test_a_changed_gate_of_instructions_pays_only_for_responses_that_are_missing(
    tmp_path: Path,
) -> None:
    place, strict, mild = Place(tmp_path), recipe(GATES[0]), recipe(GATES[1])
    place.run(strict)
    row_store = place.row_store(strict)
    rows = place.delivered(strict)[1].planned
    colons = row_store.first.counts(1)["instruction.colon"]
    assert colons
    place.run(mild)
    assert 0 < place.requests <= colons
    words, funnel = place.delivered(mild)
    assert funnel.planned <= rows
    assert any(turns[0][0].endswith(":") for turns in words.values())
    # And the strict list reads what it read before.
    assert not any(turns[0][0].endswith(":") for turns in place.delivered(strict)[0].values())
