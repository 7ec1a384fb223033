"""Commands in a process that knows one Hub from its start: the process starts once, not for each.

What `huggingface_hub` and `datasets` read of the environment, they read when they are imported, so
the commands of a test share a process of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_LOOP = """
import json, os, sys, tempfile, traceback
answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    sys.argv, code = json.loads(line)
    files = [tempfile.TemporaryFile("w+") for _ in range(2)]
    for number, file in enumerate(files, 1):
        os.dup2(file.fileno(), number)
    status = 0
    try:
        exec(code, {"__name__": "__main__"})
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        status = 1
    texts = []
    for stream, file in zip((sys.stdout, sys.stderr), files):
        stream.flush()
        file.seek(0)
        texts.append(file.read())
    answers.write(json.dumps([status, *texts]) + "\\n")
    answers.flush()
"""
_MAGPIE = "from magpie_hub.cli.main import main; main()"


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


class Commands:
    """Runs commands, one after the other, in one process.

    Args:
        environment: The whole environment of the process.
        folder: The folder that it works in.

    Attributes:
        shown: All that was printed.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.shown = ""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOOP],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Commands:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ended(self, *arguments: str) -> Ended:
        """Runs `magpie-hub` with these arguments."""
        return self._run(["magpie-hub", *arguments], _MAGPIE)

    def magpie(self, *arguments: str, status: int = 0) -> str:
        """What `magpie-hub` prints that ends with this status."""
        done = self.ended(*arguments)
        assert done.status == status, done.err
        return done.out

    def python(self, code: str, *arguments: str) -> str:
        """What a script of one's own prints."""
        done = self._run(["-c", *arguments], code)
        assert done.status == 0, done.err
        return done.out

    def _run(self, argv: list[str], code: str) -> Ended:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([argv, code]) + "\n")
        self._process.stdin.flush()
        done = Ended(*json.loads(self._process.stdout.readline()))
        self.shown += done.out + done.err
        return done
