"""A release built again with other gates: what was generated is judged, not generated, again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from magpie_hub import api
from magpie_hub.engines import factory as choose
from magpie_hub.engines.base import Completion, Engine, Sampling
from magpie_hub.pipeline.run import FIRST, Run, open_recipe
from magpie_hub.store.journal import Journal
from tests.tiny import GATES_OFF, write_tiny_model, write_tiny_recipe

pytestmark = pytest.mark.engine

ROWS = 12
SHORT = {"min_words": 0, "max_words": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def recipe(tmp_path: Path, model: Path) -> Path:
    return write_tiny_recipe(tmp_path / "tiny.magpie.yaml", model, rows=ROWS, min_yield=0.001)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Prompts of all requests that any engine is sent."""
    start, seen = choose.start_engine, list[tuple[int, ...]]()

    async def start_counted(*args: Any, **how: Any) -> Engine:
        engine = await start(*args, **how)
        generate = engine.generate

        async def counted(prompt: Sequence[int], sampling: Sampling) -> Completion:
            seen.append(tuple(prompt))
            return await generate(prompt, sampling)

        monkeypatch.setattr(engine, "generate", counted, raising=False)
        return engine

    monkeypatch.setattr(choose, "start_engine", start_counted)
    return seen


def gates(recipe: Path, **rules: Any) -> None:
    data = yaml.safe_load(recipe.read_text())
    data["gates"] = {"rules": {**GATES_OFF, **rules}, "duplicate": False}
    recipe.write_text(yaml.safe_dump(data))


def turns(recipe: Path) -> dict[int, tuple[str, str | None]]:
    with Journal(Run.open(open_recipe(recipe)).folder / FIRST, readonly=True) as journal:
        return {one.row_id: (one.instruction, one.response) for one in journal.texts(0, 10**6)}


def rows(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "data" / "default").to_pylist()


def test_another_gate_of_responses_sends_no_request(
    recipe: Path, tmp_path: Path, requests: list[tuple[int, ...]]
) -> None:
    gates(recipe, length={**SHORT, "roles": ["assistant"]})
    strict = api.build(recipe, tmp_path / "strict")
    assert strict.funnel.planned > ROWS, "the gate rejects some"
    held, sent = turns(recipe), len(requests)
    assert sent >= 2 * len(held)
    gates(recipe)
    said: list[str] = []
    mild = api.build(recipe, tmp_path / "mild", say=said.append)
    assert len(requests) == sent
    assert turns(recipe) == held
    assert said == [
        f"gates: {len(held):,} journaled turns to judge; none of them is generated again"
    ]
    assert mild.funnel.planned == ROWS
    assert [row["row_id"] for row in rows(mild.path)] == list(range(ROWS))
    # And back: both verdicts are there.
    gates(recipe, length={**SHORT, "roles": ["assistant"]})
    again = api.build(recipe, tmp_path / "again")
    assert len(requests) == sent
    assert rows(again.path) == rows(strict.path)


def test_another_gate_of_instructions_sends_for_missing_responses_only(
    recipe: Path, tmp_path: Path, model: Path, requests: list[tuple[int, ...]]
) -> None:
    gates(recipe, length={**SHORT, "roles": ["user"]})
    api.build(recipe, tmp_path / "strict")
    held, sent = turns(recipe), len(requests)
    lacking = {row for row, (_, response) in held.items() if response is None}
    assert lacking & set(range(ROWS))
    first_instruction = requests[0]
    gates(recipe)
    mild = api.build(recipe, tmp_path / "mild")
    now = turns(recipe)
    assert {row: words for row, (words, _) in now.items()} == {
        row: words for row, (words, _) in held.items()
    }, "no instruction is drawn"
    assert all(now[row] == held[row] for row in set(held) - lacking)
    filled = {row for row in lacking if now[row][1] is not None}
    assert lacking & set(range(ROWS)) <= filled
    paid = requests[sent:]
    assert len(filled) <= len(paid) <= len(lacking)
    assert first_instruction not in paid
    assert [row["row_id"] for row in rows(mild.path)] == list(range(ROWS))
