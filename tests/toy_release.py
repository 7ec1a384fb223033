"""A toy's job with all its rows, for whatever needs a release."""

from __future__ import annotations

import asyncio
from pathlib import Path

from magpie_hub.gates import build_gates
from magpie_hub.generate.plan import Plan
from magpie_hub.generate.rollout import Rollouts
from magpie_hub.generate.scheduler import Ledger, grow
from magpie_hub.models.source import ModelSource
from magpie_hub.pipeline.run import Job
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.store.rows import Book
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


def toy_job(home: Path, more: str = "", rows: int = 30, turns: int = 2, name: str = "toy") -> Job:
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
    job = Job(recipe, source, home, build_gates())
    with job.book(writable=True) as book:
        if book.first.meta("chat") is None:
            book.first.set_meta("chat", ToyChat().to_json())
            book.first.begin_session(
                {"engine": "toy", "version": "1", "device": "x", "dtype": "y", "slots": 8}
            )
        engine = ToyEngine(ends_with_colon(4))
        rollouts = Rollouts(
            Plan(recipe), ToyChat(), engine, job.gates, Book(book.first, book.later, turns)
        )
        asyncio.run(grow(Ledger(book, rows), rollouts, engine))
    return job
