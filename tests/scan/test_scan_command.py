"""`magpie-hub scan` as a script uses it: one object on stdout, and a status for each outcome."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from magpie_hub.release.folder import write_release
from tests.toy_release import toy_job

from .planted import plant


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("release")
    planted = plant(0, 1)
    more = f"judging: auto\nchat: {{date: '{planted.text}'}}\n"
    run = toy_job(place / "home", more, rows=4)
    return write_release(run, place / "out").path


def scan(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "magpie_hub", "scan", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_findings_are_status_3_and_one_object_of_json(folder: Path, tmp_path: Path) -> None:
    ran = scan(folder, "--json", cwd=tmp_path)
    assert ran.returncode == 3, ran.stderr
    assert ran.stderr == ""
    found = json.loads(ran.stdout)
    assert set(found) == {"clean", "findings", "counts", "allowed", "rows", "seconds"}
    assert not found["clean"]
    assert found["counts"] == {"hf-token": len(found["findings"])}
    assert set(found["findings"][0]) == {"kind", "place", "shown", "mark"}
    assert plant(0, 1).value not in ran.stdout

    lines = tmp_path / "reviewed.txt"
    lines.write_text("\n".join(one["mark"] for one in found["findings"]))
    ran = scan(folder, "--json", "--reviewed", lines, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    clean = json.loads(ran.stdout)
    assert (clean["clean"], clean["findings"], clean["counts"]) == (True, [], {})
    assert clean["allowed"] == len(found["findings"])


def test_a_failure_has_another_status_than_findings(folder: Path, tmp_path: Path) -> None:
    ran = scan(tmp_path, "--json", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "there is no release" in ran.stderr
    (tmp_path / "bad.txt").write_text("no rule\n")
    ran = scan(folder, "--json", "--reviewed", tmp_path / "bad.txt", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Traceback" not in ran.stderr
