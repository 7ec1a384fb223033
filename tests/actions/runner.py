"""One run of a workflow: its jobs in the order of the file, their steps, and what comes of each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.actions.expressions import Contexts, as_text, fill, holds

SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
"""What `shell: bash` stands for (docs.github.com, "Workflow syntax", `steps[*].shell`)."""

ROOT = Path(__file__).resolve().parents[2]
CHECKOUT = ("magpie_hub", "builders", "dataset_cards", "pyproject.toml", "README.md")
"""What of this checkout a job gets of it."""

COMMANDS = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH")


@dataclass(slots=True)
class Step:
    """What came of one step.

    Attributes:
        name: Its name, or the action that it uses.
        result: "success", "failure" or "skipped".
        outputs: What it wrote to GITHUB_OUTPUT.
        log: What it printed.
    """

    name: str
    result: str
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""


@dataclass(slots=True)
class Run:
    """What came of one job."""

    result: str
    outputs: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    summary: str = ""

    def step(self, name: str) -> Step:
        """A step by its name."""
        return next(step for step in self.steps if step.name == name)


class Runner:
    """A machine that takes the jobs of one run.

    Args:
        path: The workflow's file.
        folder: Where it works. A second run in the same folder finds the first one's tool cache.
        event: "schedule" or "workflow_dispatch".
        inputs: As typed into the form; what is not given has its default.
        variables: The repository's variables.
        environment: What every step's environment holds besides GitHub's own; the whole of it.
        run_id: The run's number, the same for all its attempts.
        id_tokens: Where a job that may have one gets its id token, and with which bearer token.
    """

    def __init__(
        self,
        path: Path,
        folder: Path,
        *,
        event: str = "workflow_dispatch",
        inputs: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        run_id: str = "4711",
        id_tokens: tuple[str, str] | None = None,
    ) -> None:
        self.workflow = read_workflow(path)
        self.folder = folder
        self.environment = dict(os.environ if environment is None else environment)
        self.id_tokens = id_tokens
        self.artifacts: dict[str, Path] = {}
        asked = self.workflow["on"]["workflow_dispatch"].get("inputs", {})
        self.contexts: dict[str, Any] = {
            "inputs": _inputs(asked, inputs or {}) if event == "workflow_dispatch" else {},
            "vars": dict(variables or {}),
            "github": {
                "event_name": event,
                "run_id": run_id,
                "repository": "someone/project",
                "server_url": "https://github.example",
            },
        }

    def run(self) -> dict[str, Run]:
        """Runs every job whose condition holds; jobs by their ids."""
        jobs: dict[str, Run] = {}
        for name, job in self.workflow["jobs"].items():
            needs = job.get("needs", [])
            needs = [needs] if isinstance(needs, str) else needs
            jobs[name] = self._job(job, {need: jobs[need] for need in needs})
        return jobs

    def value(self, text: Any) -> Any:
        """What a value of the workflow's own keys (`runs-on`, `concurrency`) means in this run."""
        return fill(text, self.contexts)

    def _job(self, job: Mapping[str, Any], needs: Mapping[str, Run]) -> Run:
        contexts = {
            **self.contexts,
            "status": _status(each.result for each in needs.values()),
            "needs": {
                name: {"result": each.result, "outputs": each.outputs}
                for name, each in needs.items()
            },
        }
        if not holds(job.get("if"), contexts):
            return Run("skipped")
        place = _Place(self, job)
        done = Run("success")
        steps: dict[str, Any] = {}
        for step in job["steps"]:
            contexts |= {
                "status": done.result,
                "steps": steps,
                "runner": {"temp": str(place.temp)},
                # The token of a job may do what the job's permissions say.
                "github": {**contexts["github"], "token": json.dumps(job["permissions"])},
            }
            result = place.take(step, contexts)
            done.steps.append(result)
            if "id" in step:
                steps[step["id"]] = {"outputs": result.outputs, "conclusion": result.result}
            if result.result == "failure":
                done.result = "failure"
        outputs = job.get("outputs", {})
        done.outputs = {key: as_text(fill(text, contexts)) for key, text in outputs.items()}
        done.summary = place.summary.read_text() if place.summary.exists() else ""
        return done


class _Place:
    """Where the steps of one job work: a new workspace, and files to talk to the runner."""

    def __init__(self, runner: Runner, job: Mapping[str, Any]) -> None:
        self.runner, self.job = runner, job
        self.workspace, self.temp = runner.folder / "work", runner.folder / "temp"
        for folder in (self.workspace, self.temp):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        cache = runner.folder / "tools"
        cache.mkdir(exist_ok=True)
        self.summary = self.temp / "summary"
        self.environment = runner.environment | {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_TOOL_CACHE": str(cache),
        }
        if runner.id_tokens and job["permissions"].get("id-token") == "write":
            url, bearer = runner.id_tokens
            self.environment["ACTIONS_ID_TOKEN_REQUEST_URL"] = url
            self.environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = bearer

    def take(self, step: Mapping[str, Any], contexts: Contexts) -> Step:
        name = step.get("name") or step["uses"].split("@")[0]
        if not holds(step.get("if"), contexts):
            return Step(name, "skipped")
        if "uses" in step:
            given = {key: fill(text, contexts) for key, text in step.get("with", {}).items()}
            return Step(name, ACTIONS[step["uses"].split("@")[0]](self, given))
        shell = step.get("shell") or self.runner.workflow["defaults"]["run"]["shell"]
        if shell != "bash":
            raise ValueError(f"{name}: {shell} is not a shell that is known here")
        own = {}
        for level in (self.runner.workflow, self.job, step):
            own |= {
                key: as_text(fill(text, contexts)) for key, text in level.get("env", {}).items()
            }
        return self._script(name, step["run"], own)

    def _script(self, name: str, text: str, own: Mapping[str, str]) -> Step:
        files = {command: self.temp / command.lower() for command in COMMANDS}
        for file in files.values():
            file.write_text("")
        script = self.temp / "script.sh"
        script.write_text(text)
        done = subprocess.run(
            [*SHELL, str(script)],
            cwd=self.workspace,
            env=self.environment | own | {key: str(file) for key, file in files.items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=700,
        )
        self.environment |= _pairs(files["GITHUB_ENV"])
        for folder in files["GITHUB_PATH"].read_text().splitlines():
            self.environment["PATH"] = f"{folder}{os.pathsep}{self.environment['PATH']}"
        result = "failure" if done.returncode else "success"
        return Step(name, result, _pairs(files["GITHUB_OUTPUT"]), done.stdout)

    # ---- stand-ins for actions ----

    def checkout(self, given: Mapping[str, Any]) -> str:
        for name in CHECKOUT:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.workspace / name)
        return "success"

    def upload(self, given: Mapping[str, Any]) -> str:
        path = Path(given["path"])
        if not path.exists():
            return "success" if given.get("if-no-files-found") == "ignore" else "failure"
        if given["name"] in self.runner.artifacts and not given.get("overwrite"):
            return "failure"
        kept = self.runner.folder / "artifacts" / given["name"]
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        self.runner.artifacts[given["name"]] = Path(shutil.copy(path, kept))
        return "success"

    def download(self, given: Mapping[str, Any]) -> str:
        kept = self.runner.artifacts.get(given["name"])
        if kept is None:
            return "failure"
        shutil.copy(kept, self.workspace)
        return "success"


ACTIONS: dict[str, Callable[[_Place, Mapping[str, Any]], str]] = {
    "actions/checkout": _Place.checkout,
    "actions/upload-artifact": _Place.upload,
    "actions/download-artifact": _Place.download,
}


def read_workflow(path: Path) -> dict[str, Any]:
    """A workflow's file; its key `on` is a text, as it is in YAML 1.2."""
    read: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in read.items()}


def _inputs(asked: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the form sends: a value for every input, of the type that the workflow declares."""
    unknown = sorted(set(given) - set(asked))
    if unknown:
        raise ValueError(f"the workflow has no input {unknown[0]}")
    values = {}
    for name, of in asked.items():
        empty = False if of["type"] == "boolean" else ""
        values[name] = given.get(name, of.get("default", empty))
        if of.get("required") and not values[name]:
            raise ValueError(f"{name} is needed")
        if of["type"] == "choice" and values[name] not in of["options"]:
            raise ValueError(f"{name}: {values[name]} is none of {of['options']}")
    return values


def _status(results: Any) -> str:
    """The status that a job sees of those that it needs."""
    seen = set(results)
    return next((bad for bad in ("failure", "cancelled", "skipped") if bad in seen), "success")


def _pairs(file: Path) -> dict[str, str]:
    """What a script wrote for the runner, a `name=value` a line."""
    pairs = {}
    for line in file.read_text().splitlines():
        name, sign, value = line.partition("=")
        if not sign:
            raise ValueError(f"{file.name}: {line!r} is not name=value")
        pairs[name] = value
    return pairs
