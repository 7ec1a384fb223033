"""Saved state: a run on one machine continues the work of a run on another."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from magpie_hub.checkpoint.segment import files_in
from magpie_hub.checkpoint.store import CheckpointStore
from magpie_hub.errors import UserError
from magpie_hub.pipeline.loop import complete
from magpie_hub.pipeline.run import FIRST, Run, later_name, open_recipe
from tests.checkpoint.faulty import FAULTS
from tests.checkpoint.journals import contents, put, rows_of
from tests.tiny import write_tiny_model, write_tiny_recipe

NAME = "tester--magpie-smol"


@pytest.mark.engine
def test_a_run_that_died_is_gone_on_with_elsewhere(tmp_path: Path) -> None:
    url = str(tmp_path / "state")
    path = write_tiny_recipe(
        tmp_path / "tiny.magpie.yaml",
        write_tiny_model(tmp_path / "model"),
        rows=4,
        judges={"language": True},
    )
    recipe = open_recipe(path, {"turns": 2})
    one, two = (Run.open(recipe, tmp_path / home) for home in ("one", "two"))
    said: list[str] = []
    state = CheckpointStore(url, NAME)
    with (
        pytest.raises(KeyboardInterrupt),
        state.lease(said.append),
        state.keeping(one.folder, "monday", 0, say=said.append),
    ):
        complete(one, say=lambda text: None)
        raise KeyboardInterrupt
    kept = files_in(one.folder)
    assert [kept[0], kept[1]] == [FIRST, later_name(recipe)]
    assert [name.split("-")[0] for name in kept[2:]] == ["labels/language"]

    state = CheckpointStore(url, NAME)
    with state.lease(said.append):
        assert state.restore(two.folder, "monday", 0) == len(rows_of(one.folder))
    assert contents(two.folder) == contents(one.folder)
    assert said == []
    # Verdicts are not saved: they are given again, which takes no engine.
    complete(two, say=said.append)
    assert two.delivery() == one.delivery()
    (line,) = said
    assert "judge" in line
    state.clear("monday")


def test_a_place_that_is_away_for_a_while_stops_nothing(tmp_path: Path) -> None:
    folder, said = tmp_path / "tiny-00", []
    state = CheckpointStore("faulty-store://bucket/path", NAME)
    put(folder, range(3))
    FAULTS.plan(0, forever=True, error=OSError("Connection reset"))
    with state.keeping(folder, "monday", 0, every=0.02, say=said.append):
        until(lambda: FAULTS.calls.count("pipe_file") > 3)
        assert len(said) == 1
        assert "Connection reset" in said[0]
        assert "tried again every" in said[0]
        FAULTS.reset()
        until(lambda: len(said) > 1)
    assert said[1:] == ["checkpoints are saved again"]
    assert (
        CheckpointStore(state.shown, NAME).restore(tmp_path / "two" / "tiny-00", "monday", 0) == 3
    )


def until(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_last_save_that_fails_is_said_and_not_raised(tmp_path: Path) -> None:
    folder, said = tmp_path / "tiny-00", []
    put(folder, range(3))
    FAULTS.plan(0, forever=True, error=OSError("Connection\nreset"))
    state = CheckpointStore("faulty-store://bucket/path", NAME)
    with state.keeping(folder, "monday", 0, every=1000, say=said.append):
        pass
    (line,) = said
    assert line.startswith("the last checkpoint was not saved: faulty-store://bucket/path/")
    assert "(Connection reset)" in line
    assert str(folder) in line
    assert "\n" not in line


def test_a_journal_that_is_damaged_is_said(tmp_path: Path) -> None:
    folder, said = tmp_path / "tiny-00", []
    folder.mkdir()
    (folder / FIRST).write_bytes(b"no journal at all, but something long enough" * 100)
    with CheckpointStore("memory://x", NAME).keeping(
        folder, "monday", 0, every=1000, say=said.append
    ):
        pass
    (line,) = said
    assert "not a database" in line


def test_the_body_s_error_comes_through_and_what_it_did_is_saved(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "tiny-00"
    with (
        pytest.raises(ZeroDivisionError),
        CheckpointStore(url, NAME).keeping(folder, "monday", 0, every=1000, say=print),
    ):
        put(folder, range(3))
        raise ZeroDivisionError
    assert CheckpointStore(url, NAME).restore(tmp_path / "two" / "tiny-00", "monday", 0) == 3


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".x", "a b", "ä", "x" * 129, "a\n", "x.json"])
def test_odd_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="becomes a file name") as caught:
        CheckpointStore("memory://x", name)
    assert "\n" not in str(caught.value)
    state = CheckpointStore("memory://x", NAME)
    for use in (lambda: state.clear(name), lambda: state.restore(tmp_path, name, 0)):
        with pytest.raises(UserError, match="the tick is"):
            use()
