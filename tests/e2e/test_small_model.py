"""The literal calls, with the real small model on real engines."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from magpie_hub.engines.base import Engine
from magpie_hub.generate.generator import load_chat
from magpie_hub.generate.plan import Plan, row_uuid
from magpie_hub.generate.rollout import Rollouts
from magpie_hub.generate.scheduler import run_rollouts
from magpie_hub.generate.tracker import PrefixTracker
from magpie_hub.models.source import ModelSource
from magpie_hub.pipeline.run import Run, open_recipe, pre_queries
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.release.schema import to_table
from magpie_hub.store.journal import Journal
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStore
from magpie_hub.store.sqlite import IN_MEMORY
from tests.commands import ROOT, magpie_process
from tests.conftest import SMALL


@pytest.fixture
def home(tmp_path: Path, small_model: ModelSource) -> Path:
    """A MAGPIE_HOME in which the packaged model is converted already."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    assert small_model.path is not None
    (home / "models").symlink_to(small_model.path.parent)
    return home


def test_a_plain_script_loads_real_conversations_and_again_generates_nothing(
    home: Path, tmp_path: Path
) -> None:
    pytest.importorskip("vllm")
    script = tmp_path / "script.py"
    script.write_text(
        'from datasets import load_dataset; print(load_dataset("./builders/magpie", "smol-mt"))\n'
    )
    # Not compiled, which takes longer than the rows do.
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "hf"),
        "MAGPIE_ROWS": "2",
        "MAGPIE_ENFORCE_EAGER": "1",
    }

    def run(**more: str) -> str:
        done = subprocess.run(
            [sys.executable, str(script)],
            cwd=ROOT,
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    said = run()
    assert "num_rows: 2" in said
    assert "instruction_2" in said
    (first,) = home.glob("journals/SmolLM2*/first.db")
    with Journal(first, readonly=True) as journal:
        made = journal.counts(1)
        assert [s["engine"] for s in journal.sessions()] == ["vllm"]
    # With no cache of `datasets`, and an engine that cannot start: the journal is enough.
    again = run(HF_HOME=str(tmp_path / "hf2"), MAGPIE_ENGINE="server", MAGPIE_BASE_URL="http://x")
    assert again == said
    with Journal(first, readonly=True) as journal:
        assert journal.counts(1) == made


def test_engines_give_rows_of_the_same_ids_and_seeds(
    home: Path, small_model: ModelSource, vllm_engine: Engine
) -> None:
    from magpie_hub.engines.transformers.engine import TransformersEngine

    recipe = short(open_recipe("smol-mt", {"rows": 2}))
    job = Run.open(recipe, home)
    chat = load_chat(recipe, job.source, home)

    async def rows(engine: Engine) -> list[dict[str, object]]:
        with Journal(IN_MEMORY) as first, Journal(Path(":memory:")) as later:
            row_store = RowStore(first, later, 2)
            pending = PendingTurns(row_store)
            rollouts = Rollouts(Plan(recipe), chat, engine, job.gates, pending)
            await run_rollouts(PrefixTracker(row_store, 2), rollouts, pending, engine)
            ids = [status.row_id for status in row_store.statuses() if status.passed][:2]
            plan = Plan(recipe)
            planned = [plan.row(i) for i in ids]
            said = [turns for i in ids for turns in row_store.conversations(range(i, i + 1))]
            given: dict[str | None, str] = dict(pre_queries(recipe, chat).items())
            table = to_table(planned, said, [{}] * len(ids), recipe, job.source.name, given)
            found: list[dict[str, object]] = table.to_pylist()
            return found

    async def with_transformers() -> list[dict[str, object]]:
        options = EngineOptions(engine="transformers", max_num_seqs=4, max_model_len=2048)
        engine = await TransformersEngine.start(small_model, options)
        try:
            return await rows(engine)
        finally:
            await engine.close()

    for row in asyncio.run(rows(vllm_engine)) + asyncio.run(with_transformers()):
        planned = Plan(recipe).row(row["row_id"])  # type: ignore[arg-type]
        assert row["gen_input_configs"]["seed"] == planned.seed  # type: ignore[index]
        assert row["instruction"]
        assert row["response_2"]
        assert row["uuid"] == row_uuid(recipe.model, planned.seed)


def short(recipe: Recipe) -> Recipe:
    """The recipe with few tokens a turn, and without the gates that would reject short words."""
    return Recipe.model_validate(
        {
            **recipe.model_dump(),
            "instruct": {**recipe.instruct.model_dump(), "max_tokens": 24},
            "respond": {"max_tokens": 32},
            "later_turns": {"max_tokens": 24},
            "gates": {"rules": {"cut_off": False, "repetition": False, "garbage": False}},
        }
    )


def test_probe_shows_the_derived_template(home: Path, tmp_path: Path) -> None:
    ran = magpie_process(
        *("probe", SMALL, "--samples", 4, "--engine", "transformers", "--json"),
        *("--set", "instruct.max_tokens=24", "--set", "respond.max_tokens=16"),
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["chat"]["pre_query"]["text"].endswith("<|im_end|>\n<|im_start|>user\n")
    assert found["chat"]["pre_query"]["ids"][-4:] == [198, 1, 4093, 198]
    assert found["chat"]["post_query"]["text"] == "<|im_end|>\n<|im_start|>assistant\n"
    assert found["chat"]["next_query"]["text"] == "<|im_end|>\n<|im_start|>user\n"
    assert found["samples"] == len(found["instructions"]) == 4
    assert 0 <= found["yield"] <= 1
    assert found["mean_tokens"] > 1
