"""A setting that leaves rows behind: it is said first, and asked in a terminal."""

from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest

from magpie_hub import api
from magpie_hub.pipeline.loop import complete
from magpie_hub.pipeline.run import Run, open_recipe
from tests.tiny import write_tiny_model, write_tiny_recipe

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def recipe(tmp_path: Path, model: Path) -> Path:
    return write_tiny_recipe(tmp_path / "tiny.magpie.yaml", model, rows=4)


def open_job(recipe: Path, **overrides: Any) -> Run:
    return Run.open(open_recipe(recipe, overrides))


def run(job: Run) -> list[str]:
    said: list[str] = []
    complete(job, say=said.append)
    return said


def warnings(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith("warning: ")]


def test_another_seed_leaves_the_rows_behind_and_the_run_says_it_first(recipe: Path) -> None:
    old = open_job(recipe)
    assert warnings(run(old)) == []
    job = open_job(recipe, seed=77, settings={"respond.max_tokens": 10})
    found = job.left_behind()
    assert found is not None
    with old.row_store() as row_store:
        assert (found.turns, found.tokens) == row_store.first.size()
    assert found.path.parent == old.folder
    assert found.seconds > 0
    said = run(job)
    assert said[0] == f"warning: {found}"
    assert f"{found.turns:,} turns of tiny" in said[0]
    assert f"{found.tokens:,} tokens" in said[0]
    assert "respond.max_tokens was 12, now 10; seed was 42, now 77" in said[0]
    assert job.left_behind() is None, "it is begun now"
    assert old.left_behind() is None, "and the old one is there still"


@pytest.mark.parametrize(
    "overrides",
    [
        {"rows": 9},
        {"turns": 2},
        {"max_num_seqs": 2},
        {"settings": {"gates.rules": {}}},
        {"settings": {"gates.duplicate": True}},
        {"settings": {"judges.language": True}},
        {"settings": {"oversample": 3.0}},
        {"settings": {"card.license": "apache-2.0"}},
    ],
)
def test_nothing_is_left_behind_by_what_draws_the_same_words(
    recipe: Path, overrides: dict[str, Any]
) -> None:
    run(open_job(recipe))
    assert open_job(recipe, **overrides).left_behind() is None


def test_other_later_turns_leave_later_turns_behind(recipe: Path) -> None:
    run(open_job(recipe, turns=2))
    found = open_job(recipe, turns=2, settings={"later_turns.max_tokens": 6}).left_behind()
    assert found is not None
    assert found.turns >= 4
    assert "later turns of tiny" in str(found)
    assert "later_turns.max_tokens was 8, now 6" in str(found)
    assert open_job(recipe, settings={"later_turns.max_tokens": 6}).left_behind() is None


def test_a_recipe_of_another_name_leaves_nothing_behind(recipe: Path, model: Path) -> None:
    run(open_job(recipe))
    other = write_tiny_recipe(recipe.with_name("o.magpie.yaml"), model, name="other", seed=5)
    assert open_job(other).left_behind() is None


def test_recipes_that_share_rows_both_know_them(recipe: Path, model: Path) -> None:
    run(open_job(recipe))
    other = write_tiny_recipe(recipe.with_name("o.magpie.yaml"), model, name="other", rows=60)
    run(open_job(other))
    for path in (recipe, other):
        assert open_job(path, seed=5).left_behind() is not None


def test_weights_replaced_in_place_leave_rows_behind(recipe: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "mine")
    run(open_job(recipe, model=str(model)))
    write_tiny_model(model, seed=3)
    found = open_job(recipe, model=str(model)).left_behind()
    assert found is not None
    assert "model_revision was" in str(found)


def test_from_python_it_is_a_warning_and_the_run_goes_on(
    recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.build(recipe, tmp_path / "one")
    with caplog.at_level(logging.WARNING, "magpie_hub"):
        assert api.build(recipe, tmp_path / "two", seed=6).rows == 4
    assert "seed was 42, now 6" in caplog.text


def test_load_dataset_says_it_and_goes_on(
    recipe: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from magpie_hub.builder.watch import complete_in_sight

    run(open_job(recipe))
    monkeypatch.setattr(datasets, "are_progress_bars_disabled", lambda: True)
    job = open_job(recipe, seed=8)
    with caplog.at_level(logging.WARNING, "magpie_hub"):
        complete_in_sight(job)
    assert job.delivery() is not None
    assert "seed was 42, now 8" in caplog.text


def build(recipe: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "magpie_hub", "build", str(recipe), "--seed", "7", *more]


def answered(command: list[str], answer: bytes, cwd: Path) -> tuple[int, str]:
    """Runs a command in a terminal, and answers once it asks."""
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - another process
        os.chdir(cwd)
        os.execv(command[0], command)
    text = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        text += part
        if b"[y/N]" in text and answer:
            os.write(terminal, answer)
            answer = b""
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), text.decode()


def test_in_a_terminal_it_is_asked_and_no_generates_nothing(recipe: Path, tmp_path: Path) -> None:
    run(open_job(recipe))
    status, text = answered(build(recipe), b"n\n", tmp_path)
    assert status == 2, text
    assert "turns of tiny" in text
    assert "nothing is generated; to continue with the existing rows, set seed: 42" in text
    assert not (tmp_path / "tiny").exists()
    assert open_job(recipe, seed=7).left_behind() is not None
    status, text = answered(build(recipe), b"y\n", tmp_path)
    assert status == 0, text
    assert "4 rows delivered" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_nobody_is_asked_with_yes_or_without_a_terminal(
    recipe: Path, tmp_path: Path, terminal: bool
) -> None:
    run(open_job(recipe))
    if terminal:
        status, text = answered(build(recipe, "--yes"), b"", tmp_path)
    else:
        ran = subprocess.run(
            build(recipe), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
        )
        status, text = ran.returncode, ran.stderr
        assert "warning" not in ran.stdout
    assert status == 0, text
    assert "[y/N]" not in text
    assert "warning: " in text
    assert "seed was 42, now 7" in text
