"""The scheduled workflow, run script by script: what it asks of the command, and what follows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from magpie_hub.cli.main import magpie_hub
from magpie_hub.recipe.variants import variant_names
from magpie_hub.release.folder import write_release
from tests.actions.id_tokens import id_tokens
from tests.actions.runner import ROOT, Run, Runner, read_workflow
from tests.actions.site import REAL, WORKFLOW, Site
from tests.hub_peer.fixtures import hub_peer  # noqa: F401
from tests.hub_peer.server import HubPeer
from tests.tiny import write_tiny_model, write_tiny_recipe
from tests.toy_release import toy_job

FORK: dict[str, str] = {}
OWN = {"MAGPIE_VARIANT": "air", "MAGPIE_REPO": "acme/magpie-air"}
ALREADY = "This tick is published already; nothing was to be done.\n"
REPORT = "Refused: the mix of categories is another one.\n\n| check | was | is |\n|---|---|---|\n"
HOSTILE = "a/b'\"; touch pwned; $(touch pwned) `touch pwned` --push\n--refresh"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def asked(site: Site, **how: Any) -> list[str]:
    """The arguments that `magpie-hub` gets in a run, without the places of what it leaves."""
    jobs = site.runner(**how).run()
    assert jobs["regenerate"].result == "success", jobs["regenerate"].steps
    (arguments,) = site.calls("magpie-hub")
    temp = site.folder / "runner" / "temp"
    places = ["--out", str(temp / "release"), "--report", str(temp / "report.md")]
    assert arguments[-4:] == places
    return arguments[:-4]


LINES: list[tuple[str, Mapping[str, str], Mapping[str, Any], str]] = [
    (
        "schedule",
        OWN,
        {},
        "regenerate --variant air --repo-id acme/magpie-air --tick 4711 --push",
    ),
    (
        "schedule",
        {**OWN, "MAGPIE_GROW": "500", "MAGPIE_STATE": "s3://bucket/state"},
        {},
        "regenerate --variant air --repo-id acme/magpie-air --tick 4711 --grow 500 --push "
        "--state s3://bucket/state",
    ),
    (
        "workflow_dispatch",
        OWN,
        {"variant": "smol", "recipe": "builders/magpie/air.magpie.yaml"},
        "regenerate --variant builders/magpie/air.magpie.yaml --repo-id acme/magpie-air "
        "--tick 4711 --push",
    ),
    (
        "schedule",
        {**OWN, "MAGPIE_VARIANT": "builders/magpie/smol.magpie.yaml"},
        {},
        "regenerate --variant builders/magpie/smol.magpie.yaml --repo-id acme/magpie-air "
        "--tick 4711 --push",
    ),
    (
        "workflow_dispatch",
        OWN,
        {"variant": "smol"},
        "regenerate --variant smol --repo-id acme/magpie-air --tick 4711 --push",
    ),
    (
        "workflow_dispatch",
        FORK,
        {
            "variant": "pro-mt",
            "repo_id": "me/mine",
            "grow": "20",
            "push": False,
            "tick": "2026-11-23",
            "state": "/mnt/state",
        },
        "regenerate --variant pro-mt --repo-id me/mine --tick 2026-11-23 --grow 20 "
        "--state /mnt/state",
    ),
    (
        "workflow_dispatch",
        {**OWN, "MAGPIE_GROW": "500"},
        {"variant": "air", "refresh": True},
        "regenerate --variant air --repo-id acme/magpie-air --tick 4711 --refresh --push",
    ),
    (
        "workflow_dispatch",
        {**OWN, "MAGPIE_GROW": "500", "MAGPIE_STATE": "hf://one"},
        {"variant": "air", "grow": "7", "state": "memory://another", "push": False},
        "regenerate --variant air --repo-id acme/magpie-air --tick 4711 --grow 7 "
        "--state memory://another",
    ),
]


@pytest.mark.parametrize(("event", "variables", "inputs", "line"), LINES)
def test_what_is_asked_becomes_this_line(
    event: str, variables: Mapping[str, str], inputs: Mapping[str, Any], line: str, site: Site
) -> None:
    assert asked(site, event=event, variables=variables, inputs=inputs) == line.split()


@pytest.mark.parametrize("line", [line for *_, line in LINES])
@pytest.mark.skipif("regenerate" not in magpie_hub.commands, reason="there is no such command yet")
def test_the_command_takes_every_such_line(line: str) -> None:
    arguments = [*line.split()[1:], "--out", "release", "--report", "report.md"]
    magpie_hub.commands["regenerate"].make_context("regenerate", arguments)


@pytest.mark.parametrize("name", ["repo_id", "grow", "tick", "state"])
def test_an_input_is_a_word_whatever_it_holds(name: str, site: Site) -> None:
    inputs = {"variant": "air", "repo_id": "me/mine", "push": False, name: HOSTILE}
    arguments = asked(site, inputs=inputs)
    option = "--" + name.replace("_", "-")
    assert arguments[arguments.index(option) + 1] == HOSTILE
    assert "--refresh" not in arguments
    assert "--push" not in arguments
    assert not list(site.folder.rglob("pwned"))


def test_a_fork_regenerates_nothing_by_accident(site: Site) -> None:
    jobs = site.runner(event="schedule", variables=FORK).run()
    assert {name: job.result for name, job in jobs.items()} == {
        "regenerate": "skipped",
        "refused": "skipped",
    }
    jobs = site.runner(event="schedule", variables={"MAGPIE_VARIANT": "air"}).run()
    assert jobs["regenerate"].result == "skipped"
    assert site.calls("magpie-hub") == site.calls("python3") == []


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ({"event": "schedule", "variables": {"MAGPIE_REPO": "me/mine"}}, "MAGPIE_VARIANT"),
        ({"inputs": {"variant": "air"}}, "repo_id"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_installed(
    how: Mapping[str, Any], word: str, site: Site
) -> None:
    job = site.runner(**how).run()["regenerate"]
    assert job.result == "failure"
    assert f"::error::No {'variant' if word == 'MAGPIE_VARIANT' else 'repository'}" in (
        job.steps[0].log
    )
    assert word in job.steps[0].log
    assert "No report was written" in job.summary
    assert site.calls("python3") == site.calls("magpie-hub") == []


@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_what_follows_from_the_exit_status(status: int, site: Site) -> None:
    runner = site.runner(
        {"STATUS_OF_MAGPIE": str(status), "REPORT": REPORT}, event="schedule", variables=OWN
    )
    jobs = runner.run()
    made = jobs["regenerate"]
    assert made.outputs == {"status": str(status)}
    assert made.result == ("failure" if status else "success")
    assert made.summary == REPORT
    assert runner.artifacts["report"].read_text() == REPORT
    assert jobs["refused"].result == ("success" if status == 3 else "skipped")
    assert len(site.calls("gh")) == (2 if status == 3 else 0)


def test_another_attempt_of_a_run_keeps_its_own_report(site: Site) -> None:
    runner = site.runner({"REPORT": REPORT}, event="schedule", variables=OWN)
    runner.run()
    runner.environment["REPORT"] = "Passed."
    assert runner.run()["regenerate"].result == "success"
    assert runner.artifacts["report"].read_text() == "Passed."
    first, second = site.calls("magpie-hub")
    assert first == second


def test_without_a_report_the_summary_says_so(site: Site) -> None:
    runner = site.runner({"STATUS_OF_MAGPIE": "2"}, event="schedule", variables=OWN)
    job = runner.run()["regenerate"]
    assert job.summary == "No report was written (exit status 2); the log says why.\n"
    assert job.step("Keep the report").result == "success"
    assert not runner.artifacts
    done = site.runner(event="schedule", variables=OWN).run()["regenerate"]
    assert (done.result, done.summary) == ("success", ALREADY)


def test_a_broken_installation_is_a_failure_that_opens_no_issue(site: Site) -> None:
    (site.folder / "environment" / "bin" / "python.py").write_text("raise SystemExit(1)")
    jobs = site.runner(event="schedule", variables=OWN).run()
    assert jobs["regenerate"].result == "failure"
    assert jobs["regenerate"].step("Regenerate").result == "skipped"
    assert jobs["regenerate"].summary.startswith("No report was written (exit status unknown)")
    assert jobs["refused"].result == "skipped"


def refused(site: Site, report: str = REPORT, **environment: str) -> str:
    """The result of the job that tells people of a failed gate."""
    environment |= {"STATUS_OF_MAGPIE": "3", "REPORT": report}
    return site.runner(environment, event="schedule", variables=OWN).run()["refused"].result


TITLE = "Regeneration of air refused: acme/magpie-air"


def test_a_refusal_opens_an_issue_with_the_report(site: Site) -> None:
    others = f"9\tRegeneration of air refused: acme/other\n8\t{TITLE} again\n"
    assert refused(site, ISSUES=others) == "success"
    assert site.calls("gh")[-1] == ["issue", "create", "--title", TITLE, "--body-file", "body.md"]
    body = site.body.read_text()
    assert body.startswith(REPORT)
    assert "https://github.example/someone/project/actions/runs/4711" in body
    environment = site.environments("gh")[-1]
    assert environment["GH_REPO"] == "someone/project"
    assert json.loads(environment["GH_TOKEN"]) == {"issues": "write"}


def test_the_open_issue_gets_a_comment_instead(site: Site) -> None:
    assert refused(site, ISSUES=f"12\tSomething else\n7\t{TITLE}\n3\tAnd another\n") == "success"
    listed, told = site.calls("gh")
    assert listed[:4] == ["issue", "list", "--state", "open"]
    assert listed[-4:] == ["--json", "number,title", "--jq", ".[] | [.number, .title] | @tsv"]
    assert told == ["issue", "comment", "7", "--body-file", "body.md"]


def test_an_issue_that_cannot_be_opened_is_a_failure(site: Site) -> None:
    assert refused(site, GH_STATUS="1") == "failure"
    assert len(site.calls("gh")) == 1


def test_a_long_report_is_cut_to_what_an_issue_holds(site: Site) -> None:
    assert refused(site, report="| é |\n" * 12_000) == "success"
    body = site.body.read_text(errors="replace")
    assert 50_000 < len(body) < 65_536
    assert body.rstrip().endswith("/actions/runs/4711")


def test_the_environment_is_made_once_and_kept(site: Site) -> None:
    for _ in range(2):
        assert site.runner(event="schedule", variables=OWN).run()["regenerate"].result == "success"
    kept = site.folder / "runner" / "tools" / "magpie-hub"
    assert site.calls("python3") == [["-m", "venv", str(kept)]]
    assert site.calls("venv/python") == [["-m", "pip", "install", "--quiet", ".[vllm,judges]"]] * 2
    assert len(site.calls("magpie-hub")) == 2


def test_a_repository_of_ones_own_says_what_is_installed(site: Site) -> None:
    wanted = "magpie-hub[vllm,judges] @ git+https://github.com/acme/magpie_hub@v1"
    asked(site, event="schedule", variables=OWN | {"MAGPIE_REQUIREMENT": wanted})
    assert site.calls("venv/python") == [["-m", "pip", "install", "--quiet", wanted]]


def test_a_recipe_that_is_not_there_is_said_before_anything_is_installed(site: Site) -> None:
    asks = {"variant": "air", "recipe": "mine.yaml"}
    job = site.runner(variables=OWN, inputs=asks).run()["regenerate"]
    assert job.result == "failure"
    assert "::error::There is no recipe mine.yaml" in job.step("Install").log
    assert site.calls("python3") == site.calls("magpie-hub") == []


def test_python_extras_and_home_are_the_repositorys_choice(site: Site) -> None:
    python = site.folder / "bin" / "python3"
    other = python.rename(python.with_name("python3.12"))
    chosen = {"MAGPIE_PYTHON": str(other), "MAGPIE_EXTRAS": "server", "MAGPIE_HOME": "/mnt/rows"}
    asked(site, event="schedule", variables=OWN | chosen)
    assert site.calls("venv/python")[0][-1] == ".[server]"
    (environment,) = site.environments("magpie-hub")
    assert environment["MAGPIE_HOME"] == "/mnt/rows"
    assert environment["HF_OIDC_RESOURCE"] == "datasets/acme/magpie-air"
    assert "HF_TOKEN" not in environment
    # Any other MAGPIE_* variable would be a setting of the run.
    assert [name for name in environment if name.startswith("MAGPIE")] == ["MAGPIE_HOME"]


@pytest.mark.parametrize(
    ("variable", "labels"),
    [
        (None, "self-hosted"),
        ("a100", "a100"),
        ('["self-hosted", "linux", "a100"]', ["self-hosted", "linux", "a100"]),
    ],
)
def test_the_runner_is_named_by_one_label_or_several(
    variable: str | None, labels: object, site: Site
) -> None:
    runner = site.runner(
        variables={"MAGPIE_RUNNER": variable} if variable else {}, event="schedule"
    )
    assert runner.value(runner.workflow["jobs"]["regenerate"]["runs-on"]) == labels


def test_runs_of_one_dataset_wait_for_each_other_and_none_is_cancelled(site: Site) -> None:
    def group(**how: Any) -> str:
        runner = site.runner(**how)
        assert runner.workflow["concurrency"]["cancel-in-progress"] is False
        assert runner.workflow["concurrency"]["queue"] == "max"
        return str(runner.value(runner.workflow["concurrency"]["group"]))

    by_hand = {"variant": "air", "repo_id": "acme/magpie-air"}
    scheduled = group(event="schedule", variables=OWN)
    assert group(inputs=by_hand) == scheduled
    assert group(inputs={**by_hand, "variant": "pro"}) != scheduled
    assert group(inputs={**by_hand, "repo_id": "acme/other"}) != scheduled


def test_the_file_fits_the_project_and_its_docs() -> None:
    workflow = read_workflow(WORKFLOW)
    assert workflow["on"]["schedule"] == [{"cron": "17 3 * * 1"}]
    inputs = workflow["on"]["workflow_dispatch"]["inputs"]
    assert inputs["variant"]["options"] == variant_names()
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == {
        "regenerate": {"contents": "read", "id-token": "write"},
        "refused": {"issues": "write"},
    }
    text = WORKFLOW.read_text()
    assert set(re.findall(r"\binputs\.(\w+)", text)) == set(inputs)
    assert set(re.findall(r"\bsteps\.(\w+)\.", text)) <= set(re.findall(r"\bid: (\w+)", text))
    docs = (ROOT / "docs" / "regenerate.md").read_text()
    for variable in set(re.findall(r"\bvars\.(\w+)", text)):
        assert f"`{variable}`" in docs, f"docs/regenerate.md says nothing of {variable}"


def in_the_checkout(peer: HubPeer, home: Path) -> dict[str, str]:
    """The environment of a runner that knows the peer, and has no token of anybody's."""
    return peer.environment(None, home=home)


PUSH = """
folder = os.environ["RELEASE"]
repo_id = sys.argv[sys.argv.index("--repo-id") + 1]
os.execv(sys.executable, [sys.executable, "-m", "magpie_hub", "push",
    "--variant", f"{folder}/recipe.yaml", "--folder", folder, "--repo-id", repo_id])
"""


def test_the_step_may_publish_with_no_token_stored_anywhere(
    hub_peer: HubPeer,  # noqa: F811
    tmp_path: Path,
) -> None:
    release = write_release(toy_job(tmp_path / "home"), tmp_path / "toy").path
    hub_peer.create_repo("tester/magpie-toy")
    site = Site(tmp_path / "site", magpie=PUSH)
    environment = in_the_checkout(hub_peer, tmp_path / "hf") | {"RELEASE": str(release)}
    variables = {"MAGPIE_VARIANT": "toy", "MAGPIE_REPO": "tester/magpie-toy"}

    def attempt() -> Run:
        with id_tokens(hub_peer.id_token, audience=hub_peer.endpoint) as tokens:
            runner = site.runner(
                environment, event="schedule", variables=variables, id_tokens=tokens
            )
            return runner.run()["regenerate"]

    refused = attempt()
    assert refused.result == "failure"
    assert "knows no trusted publisher" in refused.step("Regenerate").log
    assert hub_peer.asked("commit") == []

    hub_peer.trusted.add("datasets/tester/magpie-toy")
    done = attempt()
    assert done.result == "success", done.step("Regenerate").log
    assert {each.token for each in hub_peer.asked("commit")} == {"keyless"}
    assert "manifest.json" in hub_peer.repo("tester/magpie-toy").files()
    said = "".join(step.log for step in done.steps) + done.summary
    assert hub_peer.tokens["keyless"].text not in said
    assert hub_peer.id_token not in said


@pytest.mark.engine
@pytest.mark.skipif("regenerate" not in magpie_hub.commands, reason="there is no such command yet")
def test_a_published_set_grows_by_a_run_and_once_a_run(
    hub_peer: HubPeer,  # noqa: F811
    tmp_path: Path,
) -> None:
    """For real, from the form to the Hub: a tiny model, the command, keyless publishing."""
    repo_id = "tester/magpie-tiny"
    environment = in_the_checkout(hub_peer, tmp_path / "hf")
    recipe = write_tiny_recipe(
        tmp_path / "tiny.magpie.yaml",
        write_tiny_model(tmp_path / "model"),
        rows=8,
        card={"license": "apache-2.0"},
    )

    push = ["push", "--build", "--variant", str(recipe), "--folder", "published"]
    subprocess.run(
        [sys.executable, "-m", "magpie_hub", *push, "--repo-id", repo_id],
        cwd=tmp_path,
        env=hub_peer.environment(home=tmp_path / "hf"),
        check=True,
    )
    hub_peer.trusted.add(f"datasets/{repo_id}")
    repo = hub_peer.repo(repo_id)

    site = Site(tmp_path / "site", magpie=REAL)
    variables = {
        "MAGPIE_VARIANT": str(recipe),
        "MAGPIE_REPO": repo_id,
        "MAGPIE_GROW": "4",
        "MAGPIE_STATE": str(tmp_path / "state"),
        "MAGPIE_HOME": str(tmp_path / "another-machine"),
    }

    def attempt() -> tuple[Runner, Run, int]:
        """Runs the workflow; the rows that are published then."""
        with id_tokens(hub_peer.id_token, audience=hub_peer.endpoint) as tokens:
            runner = site.runner(
                environment, event="schedule", variables=variables, id_tokens=tokens
            )
            job = runner.run()["regenerate"]
        assert job.outputs["status"] == "0", job.step("Regenerate").log
        return runner, job, json.loads(repo.files()["manifest.json"])["rows"]

    runner, job, rows = attempt()
    assert rows == 12
    assert runner.artifacts["report"].read_text() == job.summary != ""
    commits = list(repo.commits)
    assert hub_peer.asked("commit")[-1].token == "keyless"
    _, job, rows = attempt()
    assert (rows, job.summary) == (12, ALREADY)
    assert list(repo.commits) == commits
