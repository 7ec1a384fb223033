"""The command as a test runs it: in this process, which is quick, or in one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from magpie_hub.cli.main import main

ROOT = Path(__file__).resolve().parents[1]


def magpie(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in this process: for verbs that start no engine."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            patch.chdir(cwd)
            patch.setattr(sys, "argv", ["magpie-hub", *map(str, arguments)])
            for name, value in environment.items():
                patch.setenv(name, value)
            main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    status = ended.value.code
    return subprocess.CompletedProcess(
        [*map(str, arguments)],
        status if isinstance(status, int) else 0,
        out.getvalue(),
        err.getvalue(),
    )


def magpie_process(
    *arguments: object, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "magpie_hub", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def wait_for_turns(process: subprocess.Popen[str], home: Path, turns: int = 8) -> None:
    """Waits until a run that is in progress has committed so many turns."""
    found = 0
    while found < turns:
        assert process.poll() is None, "the run has ended"
        time.sleep(0.05)
        for path in home.glob("journals/*/first.db"):
            with contextlib.suppress(sqlite3.OperationalError):
                (found,) = sqlite3.connect(path).execute("SELECT COUNT(*) FROM turns").fetchone()
