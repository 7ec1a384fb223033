"""Streams that are closed, full or of another encoding; signals at any moment; no home folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from magpie_hub.cli.signals import ENDED
from tests.commands import wait_for_turns
from tests.tiny import write_tiny_model, write_tiny_recipe

ROOT = Path(__file__).parents[2]
MAGPIE = f'"{sys.executable}" -m magpie_hub'


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a line of bash in which $M is the command."""
    return subprocess.run(
        ["bash", "-c", line.replace("$M", MAGPIE)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        errors="replace",
    )


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("$M variants >&-", 0),
        ("$M variants 2>&-", 0),
        ("$M variants <&- >&- 2>&-", 0),
        ("$M variants --json >&-", 0),
        ("$M --help >&-", 0),
        ("$M build nonesuch >&-", 2),
        ("$M build nonesuch 2>&-", 2),
        ("$M build nonesuch 2>/dev/full", 2),
        ("$M variants 2>/dev/full", 0),
        ("$M variants >/dev/full", 1),
        ("$M variants --json >/dev/full", 1),
        ("$M --help >/dev/full", 1),
        ("$M init here >/dev/full", 1),
        ("$M variants >/dev/full 2>&1", 1),
    ],
)
def test_closed_and_full_streams_end_in_no_traceback(
    tmp_path: Path, line: str, status: int
) -> None:
    ran = shell(line, tmp_path)
    said = ran.stdout + ran.stderr
    assert ran.returncode == status, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    if line.endswith(">/dev/full"):
        told = ran.stderr.splitlines()
        expected = ["magpie-hub: stdout cannot be written (No space left on device)"]
        assert told == (expected if status == 1 else [])


@pytest.mark.parametrize("verb", ["variants", "--help", "variants --json"])
def test_a_reader_that_leaves_is_no_error_to_speak_of(tmp_path: Path, verb: str) -> None:
    ran = shell(f"set -o pipefail; $M {verb} | :", tmp_path)
    assert ran.returncode in (0, 128 + signal.SIGPIPE)
    assert ran.stderr == ""


def test_a_terminal_of_another_encoding_shows_what_it_can(tmp_path: Path) -> None:
    recipe = write_tiny_recipe(tmp_path / "x.yaml", tmp_path, title="数据 “quoted”", rows=0)
    for name in ("latin-1", "ascii"):
        ran = shell(f"$M build {recipe}", tmp_path, PYTHONIOENCODING=name)
        assert ran.returncode == 2
        assert len(ran.stderr.splitlines()) == 1, ran.stderr
        ran = shell("$M build 数据", tmp_path, PYTHONIOENCODING=name)
        assert ran.returncode == 2
        assert "Traceback" not in ran.stderr
        ran = shell("$M variants", tmp_path, PYTHONIOENCODING=name)
        assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["click", "platformdirs", "pydantic"])
def test_a_signal_while_the_command_is_imported_is_one_line(
    tmp_path: Path, number: signal.Signals, module: str
) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / f"{module}.py").write_text(
        "import pathlib, time\npathlib.Path('here').write_text('')\ntime.sleep(60)\n"
    )
    process = start(tmp_path, "variants", PYTHONPATH=f"{slow}{os.pathsep}{ROOT}")
    try:
        while not (tmp_path / "here").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert said.splitlines() == [ENDED]


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "magpie_hub", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # In the background of a shell, interrupts are switched off.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.engine
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_ends_alike_by_either_signal_and_goes_on_with_the_figures_shown(
    tmp_path: Path, number: signal.Signals
) -> None:
    recipe = write_tiny_recipe(tmp_path / "x.yaml", write_tiny_model(tmp_path / "model"))
    arguments = ("build", str(recipe), "--rows", "100000")
    process = start(tmp_path, *arguments)
    try:
        wait_for_turns(process, tmp_path / "home")
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 128 + number, said
    assert said.splitlines()[-1] == ENDED
    assert "Traceback" not in said
    shown = re.findall(r"(\d+)/100000 rows", said)[-1]
    assert int(shown) > 0
    again = start(tmp_path, *arguments)
    try:
        assert again.stderr is not None
        lines = iter(again.stderr.readline, "")
        resumed = next(line for line in lines if "are in the journal" in line)
    finally:
        again.kill()
        again.communicate()
    assert resumed.startswith(f"{shown} of 100000 rows are in the journal")


@pytest.fixture
def homeless(tmp_path: Path) -> dict[str, str]:
    """An environment of a user whom the system does not know."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pwd\n"
        "def getpwuid(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = getpwuid\n"
        "for name in ('HOME', 'LOGNAME', 'USER', 'LNAME', 'USERNAME', 'XDG_DATA_HOME'):\n"
        "    os.environ.pop(name, None)\n"
    )
    return {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}


@pytest.mark.engine
def test_without_a_home_folder_there_is_one_way_out(
    tmp_path: Path, homeless: dict[str, str]
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    model = write_tiny_model(tmp_path / "model")
    recipe = write_tiny_recipe(tmp_path / "x.yaml", model, rows=2)
    for verb in ("variants", f"build {recipe}"):
        ran = shell(f"$M {verb}", work, MAGPIE_HOME="", **homeless)
        assert ran.returncode == 2, ran.stderr
        (said,) = ran.stderr.splitlines()
        assert "set MAGPIE_HOME to a folder" in said
    assert not list(work.iterdir())
    kept = str(tmp_path / "kept")
    ran = shell(f"$M build {recipe}", work, MAGPIE_HOME=kept, **homeless)
    assert ran.returncode == 0, ran.stderr
    assert [path.name for path in work.iterdir()] == ["tiny"], "no folder is called ~"
