"""Every workflow passes GitHub's schema and a security linter, and both would say so if not."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.actions.machine import ROOT, WORKFLOWS, read_workflow

Check = Callable[[Path], subprocess.CompletedProcess[str]]


def check_schema(path: Path) -> subprocess.CompletedProcess[str]:
    """Holds a workflow against GitHub's schema, which comes in the tool's package."""
    tool = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    return subprocess.run([*tool, str(path)], capture_output=True, text=True, check=False)


def check_security(path: Path) -> subprocess.CompletedProcess[str]:
    """Looks for injections, wide permissions, kept credentials and actions that are not pinned."""
    tool = shutil.which("zizmor", path=sysconfig.get_path("scripts"))
    assert tool, "zizmor is not installed: run make test, or pip install '.[test]'"
    command = [tool, "--offline", "--pedantic", "--no-progress", "--color=never", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_both_pass_it(path: Path) -> None:
    for done in (check_schema(path), check_security(path)):
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "check", "word"),
    [
        ("timeout-minutes: 60", "timeout-minuts: 60", check_schema, "timeout-minuts"),
        ("runs-on: ubuntu-latest", "runs: ubuntu-latest", check_schema, "jobs.test"),
        ("persist-credentials: false", "fetch-depth: 0", check_security, "artipacked"),
        (
            "- run: bash .ci/run",
            "- run: echo ${{ github.event.pull_request.title }}",
            check_security,
            "template-injection",
        ),
        ("permissions: {}", "permissions: write-all", check_security, "excessive-permissions"),
        (r"@[0-9a-f]{40} # \S+", "@v7", check_security, "unpinned-uses"),
    ],
)
def test_what_is_wrong_is_found(
    right: str, wrong: str, check: Check, word: str, tmp_path: Path
) -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    spoiled, changes = re.subn(right, wrong, text)
    assert changes
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "ci.yml").write_text(spoiled)
    done = check(folder / "ci.yml")
    assert done.returncode != 0
    assert word in done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_expression_stands_in_a_script_and_every_job_may_do_little_and_ends(path: Path) -> None:
    workflow = read_workflow(path)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"]
        assert 0 < job["timeout-minutes"] <= 600
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            assert "uses" not in step or re.search(r"@[0-9a-f]{40}$", step["uses"])
