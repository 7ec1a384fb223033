"""A job on a real (tiny) model: one function behind all doors, one writer, no row paid twice."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from magpie_hub.errors import JournalError, ModelError, OutputError
from magpie_hub.generate.scheduler import Progress
from magpie_hub.pipeline.background import Background
from magpie_hub.pipeline.loop import complete, generate
from magpie_hub.pipeline.run import FIRST, Run, find_journal, open_recipe
from magpie_hub.release.folder import write_release
from magpie_hub.store.journal import Journal
from tests.tiny import write_tiny_model, write_tiny_recipe

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def recipe(tmp_path: Path, model: Path) -> Path:
    return write_tiny_recipe(tmp_path / "tiny.magpie.yaml", model)


def open_job(recipe: Path, **overrides: object) -> Run:
    return Run.open(open_recipe(recipe, overrides))


def run(job: Run, say: list[str] | None = None) -> Progress:
    complete(job, say=(say if say is not None else []).append)
    return job.progress()


def turns(job: Run) -> int:
    return sum(
        sqlite3.connect(p).execute("SELECT COUNT(*) FROM turns").fetchone()[0]
        for p in job.folder.glob("*.db")
    )


def test_a_row_says_what_the_model_was_given_first(recipe: Path, tmp_path: Path) -> None:
    texts = {"maths": "Ask about maths.", "art": "Ask about art."}
    systems = [{"name": name, "text": text} for name, text in texts.items()]
    data = yaml.safe_load(recipe.read_text())
    data["instruct"]["systems"] = systems
    recipe.write_text(yaml.safe_dump(data))
    job = open_job(recipe)
    run(job)
    release = write_release(job, tmp_path / "out")
    said = pq.read_table(release.path / "data" / "raw")["gen_input_configs"].to_pylist()
    sent = {
        name: f"<|im_start|>system\n{text}<|im_end|>\n<|im_start|>user\n"
        for name, text in texts.items()
    }
    assert {one["system_prompt"] for one in said} == set(texts)
    assert all(one["pre_query_template"] == sent[one["system_prompt"]] for one in said)
    card = release.card.read_text()
    assert "the model is given a system prompt and its own pre-query template" in card
    assert "Ask about maths.<|im_end|>" in card
    with job.row_store(writable=True) as row_store:
        row_store.first.set_meta("pre_queries", None)
    again = write_release(job, tmp_path / "again")
    assert pq.read_table(again.path / "data" / "raw")["gen_input_configs"].to_pylist() == said


def test_a_run_whose_conversations_fill_the_context_says_what_to_raise(
    tmp_path: Path, model: Path
) -> None:
    recipe = write_tiny_recipe(tmp_path / "tiny.magpie.yaml", model, rows=2, turns=2)
    said: list[str] = []
    run(open_job(recipe, max_model_len=56), said)
    (line,) = [line for line in said if "max_model_len" in line]
    assert "turns were cut off at the end of the context of 56 tokens" in line


def test_a_run_delivers_and_a_second_one_touches_no_engine(recipe: Path) -> None:
    job, said = open_job(recipe), []
    assert run(job, said).passed >= 12
    assert any("engine transformers" in line for line in said)
    said.clear()
    assert run(open_job(recipe), said).passed >= 12
    assert said == []


def test_opening_a_job_writes_nothing(recipe: Path, tmp_path: Path) -> None:
    assert open_job(recipe).progress().passed == 0
    assert not (tmp_path / "home").exists()


def test_a_killed_run_goes_on_where_it_was(recipe: Path, tmp_path: Path) -> None:
    """SIGKILL at six random moments: exactly the rows, none twice, no committed row again."""
    command = [
        sys.executable,
        "-m",
        "magpie_hub",
        "build",
        str(recipe),
        "--rows",
        "200",
        "--max-num-seqs",
        "4",
        "--out",
        str(tmp_path / "out"),
    ]
    moments = random.Random(5)
    seen: dict[tuple[int, int], str] = {}
    kills = 0
    for _ in range(6):
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            before = len(seen)
            # Once rows come, let some more come; loading a model takes most of a short run.
            while process.poll() is None and committed(tmp_path) <= before:
                time.sleep(0.02)
            time.sleep(moments.random() * 0.2)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
        kept = records(tmp_path)
        assert {key: kept[key] for key in seen} == seen
        seen = kept
    assert kills >= 3
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    kept = records(tmp_path)
    assert {key: kept[key] for key in seen} == seen
    import pyarrow.parquet as pq

    rows = pq.read_table(tmp_path / "out" / "data" / "default")
    assert rows.num_rows == 200
    assert len(set(rows["uuid"].to_pylist())) == 200


def records(folder: Path) -> dict[tuple[int, int], str]:
    found = list((folder / "home").glob(f"journals/*/{FIRST}"))
    if not found:
        return {}
    rows = (
        sqlite3.connect(found[0])
        .execute("SELECT row_id, turn, session || ':' || instruction || response FROM turns")
        .fetchall()
    )
    assert len(rows) == len({row[:2] for row in rows})
    return {(row, turn): text for row, turn, text in rows}


def committed(folder: Path) -> int:
    try:
        return len(records(folder))
    except sqlite3.OperationalError:
        return 0


def test_a_second_writer_waits_and_says_so(recipe: Path) -> None:
    said: list[str] = []
    first, second = open_job(recipe, rows=150, max_num_seqs=4), open_job(recipe, rows=150)
    with Background(partial(generate, first, lambda text: None)) as run_one:
        next(run_one.updates())
        while not (first.folder / FIRST).exists():
            time.sleep(0.01)
        thread = threading.Thread(target=lambda: run(second, said))
        thread.start()
        for _ in run_one.updates():
            pass
        thread.join()
    assert "another process is generating these rows; waiting" in said[0]
    assert not any("engine" in line for line in said[1:])
    assert turns(first) <= 150 + 8


def test_stopping_keeps_what_is_finished(recipe: Path) -> None:
    job = open_job(recipe, rows=100_000)
    with Background(partial(generate, job, lambda text: None)) as running:
        for progress in running.updates():
            if progress and progress.passed > 20:
                break
    kept = turns(job)
    assert kept > 20
    assert threading.active_count() < 10
    smaller = open_job(recipe, rows=10)
    assert run(smaller).passed >= 10
    assert turns(job) == kept


def test_a_folder_that_cannot_be_written_is_said(recipe: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("not a folder")
    with pytest.raises(OutputError, match="MAGPIE_HOME") as caught:
        run(open_job(recipe))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_said(recipe: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(OutputError, match="cannot be written"):
        run(open_job(recipe))


def test_a_changed_model_folder_is_another_model(recipe: Path, model: Path, tmp_path: Path) -> None:
    one = open_job(recipe)
    other = open_job(recipe, model=str(write_tiny_model(tmp_path / "other", seed=1)))
    assert one.source.revision != other.source.revision
    assert one.folder != other.folder
    assert open_job(recipe, model=str(model)).folder == one.folder


def test_a_missing_model_is_said(recipe: Path) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        open_job(recipe, model="./nowhere")


def test_rows_drawn_with_another_chat_format_are_not_mixed(recipe: Path) -> None:
    job = open_job(recipe)
    run(job)
    with Journal(job.folder / FIRST) as journal:
        journal.set_meta("chat", {**journal.meta("chat"), "date": "1 Jan 1970"})
    with pytest.raises(JournalError, match="another chat format"):
        run(open_job(recipe, rows=20))


def test_journals_are_found_by_what_they_hold(recipe: Path, tmp_path: Path) -> None:
    job = open_job(recipe)
    assert find_journal(job.recipe, job.home) is None
    run(job)
    found = find_journal(open_recipe(recipe, {"rows": 5, "turns": 2}), job.home)
    assert found is not None
    assert (found.folder, found.revision) == (job.folder, job.source.revision)
    assert find_journal(open_recipe(recipe, {"seed": 5}), job.home) is None


def test_the_manifest_says_what_ran(recipe: Path, tmp_path: Path) -> None:
    job = open_job(recipe)
    run(job)
    release = write_release(job, tmp_path / "out")
    manifest = json.loads((release.path / "manifest.json").read_text())
    assert manifest["model"]["name"] == "tests/tiny"
    assert manifest["model"]["revision"] == job.source.revision
    assert manifest["sessions"][0]["engine"] == "transformers"
    assert manifest["chat"]["pre_query"]["text"] == "<|im_start|>user\n"
