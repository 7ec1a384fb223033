"""A toy's job with all its rows, for whatever needs a release."""

from __future__ import annotations

import asyncio
from pathlib import Path

from magpie_hub.gates.registry import build_gates
from magpie_hub.generate.plan import Plan
from magpie_hub.generate.rollout import Rollouts
from magpie_hub.generate.scheduler import run_rollouts
from magpie_hub.generate.tracker import PrefixTracker
from magpie_hub.models.source import ModelSource
from magpie_hub.pipeline.run import Run
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStore
from tests.generate.test_scheduler import ends_with_colon
from tests.toy import ToyChat, ToyEngine

RECIPE = """
name: toy
description: A toy.
model: toy/model
rows: 30
turns: 2
card: {license: apache-2.0, pretty_name: "A: toy"}
"""


def toy_job(home: Path, more: str = "", rows: int = 30, turns: int = 2, name: str = "toy") -> Run:
    """Generates so many rows; some are rejected on the way.

    Args:
        home: Where the journals go.
        more: Lines after the recipe's.
        rows: Rows delivered.
        turns: User turns of each.
        name: The recipe's name.
    """
    said = RECIPE.replace("rows: 30", f"rows: {rows}").replace("turns: 2", f"turns: {turns}")
    said = said.replace("name: toy", f"name: {name}", 1)
    recipe = parse_recipe(said + more, "toy")
    source = ModelSource("toy/model", "r1", "hub")
    run = Run(recipe, source, home, build_gates())
    with run.row_store(writable=True) as row_store:
        if row_store.first.meta("chat") is None:
            row_store.first.set_meta("chat", ToyChat().to_json())
            row_store.first.begin_session(
                {"engine": "toy", "version": "1", "device": "x", "dtype": "y", "slots": 8}
            )
        engine = ToyEngine(ends_with_colon(4))
        pending = PendingTurns(RowStore(row_store.first, row_store.later, turns))
        rollouts = Rollouts(Plan(recipe), ToyChat(), engine, run.gates, pending)
        asyncio.run(run_rollouts(PrefixTracker(row_store, rows), rollouts, pending, engine))
    return run
