"""A runner's machine without its tools: stand-ins on PATH that note how they were called.

`python3 -m venv` makes an environment whose `pip` installs nothing, and whose `magpie-hub` is what
the test wants it to be; `gh` knows the issues that the test has opened.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.actions.runner import ROOT, Runner

WORKFLOW = ROOT / ".github" / "workflows" / "regenerate.yml"

_NOTE = """
import json, os, pathlib, sys
with open(os.environ["CALLS"], "a") as calls:
    ours = ("MAGPIE", "HF", "GH_")
    seen = {key: text for key, text in os.environ.items() if key.startswith(ours)}
    calls.write(json.dumps({"argv": [NAME, *sys.argv[1:]], "environment": seen}) + "\\n")
"""

_PYTHON = """
if sys.argv[1:3] == ["-m", "venv"]:
    import shutil
    shutil.copytree(os.environ["ENVIRONMENT"], sys.argv[3], dirs_exist_ok=True)
"""

_MAGPIE = """
arguments = sys.argv[1:]
report = os.environ.get("REPORT")
if report is not None:
    pathlib.Path(arguments[arguments.index("--report") + 1]).write_text(report)
sys.exit(int(os.environ.get("STATUS_OF_MAGPIE", 0)))
"""

REAL = """
os.execv(sys.executable, [sys.executable, "-m", "magpie_hub", *sys.argv[1:]])
"""
"""The command itself, from the checkout that the job has made."""

_GH = """
if os.environ.get("GH_STATUS"):
    sys.exit(int(os.environ["GH_STATUS"]))
if sys.argv[1:3] == ["issue", "list"]:
    print(os.environ.get("ISSUES", ""), end="")
if "--body-file" in sys.argv:
    body = pathlib.Path(sys.argv[sys.argv.index("--body-file") + 1]).read_bytes()
    pathlib.Path(os.environ["BODY"]).write_bytes(body)
"""


class Site:
    """One machine, for one or more runs.

    Args:
        folder: Where everything lies.
        magpie: What `magpie-hub` does, in Python, after it has noted its call.
    """

    def __init__(self, folder: Path, magpie: str = _MAGPIE) -> None:
        self.folder = folder
        self.body = folder / "body.md"
        self._calls = folder / "calls"
        self._bin, environment = folder / "bin", folder / "environment"
        _write(self._bin / "python3", "python3", _PYTHON)
        _write(self._bin / "gh", "gh", _GH)
        _write(environment / "bin" / "python", "venv/python", "")
        _write(environment / "bin" / "magpie-hub", "magpie-hub", magpie)
        self.environment = {
            "HOME": str(folder / "home"),
            "CALLS": str(self._calls),
            "BODY": str(self.body),
            "ENVIRONMENT": str(environment),
        }

    def runner(self, environment: Mapping[str, str] | None = None, **how: Any) -> Runner:
        """A run on this machine; the keywords are those of `Runner`.

        Args:
            environment: What its steps' environment holds besides.
        """
        mine = {"PATH": os.environ["PATH"], **(environment or {}), **self.environment}
        mine["PATH"] = f"{self._bin}{os.pathsep}{mine['PATH']}"
        return Runner(WORKFLOW, self.folder / "runner", environment=mine, **how)

    def calls(self, name: str) -> list[list[str]]:
        """The arguments of each call of a command: magpie-hub, gh, python3, or venv/python."""
        return [call["argv"][1:] for call in self._seen() if call["argv"][0] == name]

    def environments(self, name: str) -> list[dict[str, str]]:
        """The MAGPIE_*, HF_* and GH_* variables that each call of a command was given."""
        return [call["environment"] for call in self._seen() if call["argv"][0] == name]

    def _seen(self) -> list[dict[str, Any]]:
        text = self._calls.read_text() if self._calls.exists() else ""
        return [json.loads(line) for line in text.splitlines()]


def _write(path: Path, name: str, body: str) -> None:
    """A command that notes its call and then does what it is to do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    script = path.with_name(f"{path.name}.py")
    script.write_text(f"NAME = {name!r}{_NOTE}{body}")
    # A shell in between: the first line of a script may not be long, nor hold spaces. What is noted
    # needs no library, and starts quicker without.
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{script}" "$@"\n')
    path.chmod(0o755)
