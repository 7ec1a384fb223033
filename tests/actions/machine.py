"""A runner's machine: runs the scripts of a workflow's steps, with stand-ins for their tools.

`python3 -m venv` makes an environment whose `pip` installs nothing, and whose `magpie-hub` does
what the test says; `gh` knows the issues that the test names. Each notes how it was called.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))

SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
"""What `shell: bash` stands for (docs.github.com, "Workflow syntax", `steps[*].shell`)."""

_NOTE = """
import json, os, pathlib, sys
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([NAME, *sys.argv[1:]]) + "\\n")
"""
_PYTHON = """
if sys.argv[1:3] == ["-m", "venv"]:
    import shutil
    shutil.copytree(os.environ["ENVIRONMENT"], sys.argv[3], dirs_exist_ok=True)
"""
_MAGPIE = "sys.exit(int(os.environ.get('STATUS', 0)))"
_GH = """
if os.environ.get("GH_STATUS"):
    sys.exit(int(os.environ["GH_STATUS"]))
if sys.argv[1:3] == ["issue", "list"]:
    print(os.environ.get("ISSUES", ""), end="")
"""


def read_workflow(path: Path) -> dict[str, Any]:
    """A workflow's file; its key `on` is a text, as it is in YAML 1.2."""
    read: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in read.items()}


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a script: its exit status, what it printed, and what it told the runner."""

    status: int
    log: str
    outputs: str
    path: str
    summary: str


class Machine:
    """A machine that runs the steps of one workflow.

    Args:
        workflow: The workflow.
        folder: Where everything lies.
        magpie: What `magpie-hub` does, in Python, after it has noted its call.
    """

    def __init__(self, workflow: dict[str, Any], folder: Path, magpie: str = _MAGPIE) -> None:
        self._jobs = workflow["jobs"]
        self._folder, self._calls = folder, folder / "calls"
        self.bin, self.temp, self.work = folder / "bin", folder / "temp", folder / "work"
        self.tools = folder / "tools"
        for place in (self.temp, self.work, self.tools):
            place.mkdir(parents=True)
        environment = folder / "environment" / "bin"
        _write(self.bin / "python3", "python3", _PYTHON)
        _write(self.bin / "gh", "gh", _GH)
        _write(self.bin / "magpie-hub", "magpie-hub", magpie)
        _write(environment / "python", "venv/python", "sys.exit(int(os.environ.get('PIP', 0)))")

    def run(self, job: str, step: str, **environment: str) -> Done:
        """Runs a step's script in an environment of these variables and the runner's own."""
        (script,) = [one["run"] for one in self._jobs[job]["steps"] if one.get("name") == step]
        told = {name: self._folder / name for name in ("OUTPUT", "PATH", "STEP_SUMMARY")}
        for file in told.values():
            file.write_text("")
        (self._folder / "script.sh").write_text(script)
        done = subprocess.run(
            [*SHELL, str(self._folder / "script.sh")],
            cwd=self.work,
            env={
                "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(self._folder),
                "GITHUB_ACTIONS": "true",
                "CALLS": str(self._calls),
                "ENVIRONMENT": str(self._folder / "environment"),
                "RUNNER_TEMP": str(self.temp),
                "RUNNER_TOOL_CACHE": str(self.tools),
                **{f"GITHUB_{name}": str(file) for name, file in told.items()},
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        return Done(done.returncode, done.stdout, *(file.read_text() for file in told.values()))

    def calls(self, name: str) -> list[list[str]]:
        """The arguments of each call of a command: magpie-hub, gh, python3, or venv/python."""
        text = self._calls.read_text() if self._calls.exists() else ""
        return [call[1:] for call in map(json.loads, text.splitlines()) if call[0] == name]


def _write(path: Path, name: str, body: str) -> None:
    """A command that notes its call and then does what it is to do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    script = path.with_name(f"{path.name}.py")
    script.write_text(f"NAME = {name!r}{_NOTE}{body}")
    # A shell in between: the first line of a script may not be long, nor hold spaces. What is noted
    # needs no library, and starts quicker without.
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{script}" "$@"\n')
    path.chmod(0o755)
