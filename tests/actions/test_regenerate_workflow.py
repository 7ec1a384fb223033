"""The scheduled workflow: its scripts as they stand, and what its file lets them do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from magpie_hub import api
from magpie_hub.cli.main import magpie_hub
from magpie_hub.recipe.variants import variant_names
from tests.actions.id_tokens import id_tokens
from tests.actions.machine import ROOT, Done, Machine, read_workflow
from tests.hub_peer.fixtures import hub_peer  # noqa: F401
from tests.hub_peer.server import HubPeer
from tests.tiny import write_tiny_model, write_tiny_recipe

PATH = ROOT / ".github" / "workflows" / "regenerate.yml"
WORKFLOW = read_workflow(PATH)
STEPS = {step.get("name"): step for job in WORKFLOW["jobs"].values() for step in job["steps"]}
OWN = {"VARIANT": "air", "REPO": "acme/magpie-air"}
REPORT = "Refused: the mix of categories is another one.\n\n| check | was | is |\n|---|---|---|\n"
HOSTILE = "a/b'\"; touch pwned; $(touch pwned) `touch pwned` --push\n--refresh"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(WORKFLOW, tmp_path)


# ---- check what is asked for, install


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"VARIANT": "", "REPO": "me/mine"}, "No variant: .*MAGPIE_VARIANT"),
        ({"VARIANT": "air", "REPO": ""}, "No repository on the Hub: .*repo_id"),
    ],
)
def test_what_is_missing_is_said(asked: dict[str, str], word: str, machine: Machine) -> None:
    done = machine.run("regenerate", "Check what is asked for", **asked)
    assert done.status == 1
    assert re.match(f"::error::{word}", done.log)
    assert machine.run("regenerate", "Check what is asked for", **OWN).status == 0


def install(machine: Machine, **more: str) -> Done:
    given = {"PYTHON": "python3", "EXTRAS": "vllm,judges", "REQUIREMENT": "", **OWN, **more}
    return machine.run("regenerate", "Install", **given)


def test_the_environment_is_made_once_and_kept(machine: Machine) -> None:
    venv = machine.tools / "magpie-hub"
    for _ in range(2):
        done = install(machine)
        assert (done.status, done.path) == (0, f"{venv}/bin\n")
    assert machine.calls("python3") == [["-m", "venv", str(venv)]]
    pip = ["-m", "pip", "install", "--quiet", ".[vllm,judges]"]
    assert machine.calls("venv/python") == [pip, pip]


def test_python_extras_and_requirement_are_the_repositorys_choice(machine: Machine) -> None:
    other = machine.bin / "python3.12"
    (machine.bin / "python3").rename(other)
    install(machine, PYTHON=str(other), EXTRAS="server")
    wanted = "magpie-hub[vllm,judges] @ git+https://github.com/acme/magpie_hub@v1"
    install(machine, PYTHON=str(other), REQUIREMENT=wanted)
    assert [call[-1] for call in machine.calls("venv/python")] == [".[server]", wanted]


def test_a_recipe_that_is_not_there_is_said_before_anything_is_installed(machine: Machine) -> None:
    done = install(machine, VARIANT="mine.yaml")
    assert (done.status, machine.calls("python3")) == (1, [])
    assert "::error::There is no recipe mine.yaml" in done.log
    (machine.work / "mine.yaml").write_text("name: mine")
    assert install(machine, VARIANT="mine.yaml").status == 0


def test_an_installation_that_fails_ends_the_step(machine: Machine) -> None:
    done = install(machine, PIP="1")
    assert (done.status, done.path) == (1, "")


# ---- regenerate

ASKED = {"GROW": "", "REFRESH": "false", "PUSH": "true", "TICK": "4711", "STATE": ""}
LINES: list[tuple[dict[str, str], str]] = [
    ({}, "--push"),
    ({"REFRESH": ""}, "--push"),  # a schedule has no inputs
    ({"GROW": "500", "STATE": "s3://bucket/state"}, "--grow 500 --push --state s3://bucket/state"),
    ({"GROW": "500", "REFRESH": "true"}, "--refresh --push"),
    ({"PUSH": "false", "GROW": "7"}, "--grow 7"),
]


def regenerate(machine: Machine, **asked: str) -> tuple[Done, list[str]]:
    """Runs the step; the arguments of the command without the places of what it leaves."""
    done = machine.run("regenerate", "Regenerate", **OWN, **ASKED | asked)
    *arguments, out, release, report, path = machine.calls("magpie-hub")[-1]
    assert (out, release) == ("--out", str(machine.temp / "release"))
    assert (report, path) == ("--report", str(machine.temp / "report.md"))
    return done, arguments


@pytest.mark.parametrize(("asked", "line"), LINES)
def test_what_is_asked_becomes_this_line(
    asked: dict[str, str], line: str, machine: Machine
) -> None:
    _, arguments = regenerate(machine, **asked)
    always = "regenerate --variant air --repo-id acme/magpie-air --tick 4711"
    assert arguments == [*always.split(), *line.split()]
    magpie_hub.commands["regenerate"].make_context("regenerate", arguments[1:])


@pytest.mark.parametrize("name", ["VARIANT", "REPO", "GROW", "TICK", "STATE"])
def test_an_input_is_a_word_whatever_it_holds(name: str, machine: Machine, tmp_path: Path) -> None:
    given = {**OWN, **ASKED, "PUSH": "false", name: HOSTILE}
    assert machine.run("regenerate", "Regenerate", **given).status == 0
    (arguments,) = machine.calls("magpie-hub")
    option = {"REPO": "--repo-id"}.get(name, f"--{name.lower()}")
    assert arguments[arguments.index(option) + 1] == HOSTILE
    assert not {"--refresh", "--push"} & set(arguments)
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_the_commands_status_is_the_steps_and_an_output(status: int, machine: Machine) -> None:
    done, _ = regenerate(machine, STATUS=str(status))
    assert (done.status, done.outputs) == (status, f"status={status}\n")


# ---- the report

ALREADY = "This tick is published already; there was nothing to do.\n"


@pytest.mark.parametrize(
    ("status", "report", "summary"),
    [
        ("0", REPORT, REPORT),
        ("3", REPORT, REPORT),
        ("0", None, ALREADY),
        ("2", None, "No report was written (exit status 2); the log says why.\n"),
        ("", None, "No report was written (exit status unknown); the log says why.\n"),
    ],
)
def test_the_summary_is_the_report_or_says_why_there_is_none(
    status: str, report: str | None, summary: str, machine: Machine
) -> None:
    if report:
        (machine.temp / "report.md").write_text(report)
    assert machine.run("regenerate", "Show the report", STATUS=status).summary == summary


TITLE = "Regeneration of air refused: acme/magpie-air"
RUN = "https://github.example/someone/project/actions/runs/4711"


def refused(machine: Machine, report: str = REPORT, **more: str) -> int:
    """The status of the step that reports a failed gate."""
    (machine.work / "report.md").write_text(report)
    step = "Open an issue, or add to the open one"
    return machine.run("refused", step, **OWN, RUN=RUN, **more).status


def test_a_refusal_opens_an_issue_with_the_report(machine: Machine) -> None:
    others = f"9\tRegeneration of air refused: acme/other\n8\t{TITLE} again\n"
    assert refused(machine, ISSUES=others) == 0
    created = ["issue", "create", "--title", TITLE, "--body-file", "body.md"]
    assert machine.calls("gh")[-1] == created
    body = (machine.work / "body.md").read_text()
    assert body.startswith(REPORT)
    assert RUN in body


def test_the_open_issue_gets_a_comment_instead(machine: Machine) -> None:
    assert refused(machine, ISSUES=f"12\tSomething else\n7\t{TITLE}\n3\tAnd another\n") == 0
    listed, told = machine.calls("gh")
    assert listed[:4] == ["issue", "list", "--state", "open"]
    assert listed[-4:] == ["--json", "number,title", "--jq", ".[] | [.number, .title] | @tsv"]
    assert told == ["issue", "comment", "7", "--body-file", "body.md"]


def test_an_issue_that_cannot_be_opened_is_a_failure(machine: Machine) -> None:
    assert refused(machine, GH_STATUS="1") == 1
    assert len(machine.calls("gh")) == 1


def test_a_long_report_is_cut_to_what_an_issue_holds(machine: Machine) -> None:
    assert refused(machine, report="| é |\n" * 12_000) == 0
    body = (machine.work / "body.md").read_text(errors="replace")
    assert 50_000 < len(body) < 65_536
    assert body.rstrip().endswith(RUN)


# ---- the file


def test_each_job_may_do_no_more_than_it_does() -> None:
    assert {name: job["permissions"] for name, job in WORKFLOW["jobs"].items()} == {
        "regenerate": {"contents": "read", "id-token": "write"},
        "refused": {"issues": "write"},
    }
    tokens = [name for name, step in STEPS.items() if "github.token" in str(step)]
    assert tokens == ["Open an issue, or add to the open one"]
    assert "secrets." not in PATH.read_text(), "no token is stored anywhere"


def test_when_a_job_or_a_step_runs() -> None:
    jobs = WORKFLOW["jobs"]
    fork = "${{ github.event_name != 'schedule' || vars.MAGPIE_REPO != '' }}"
    assert jobs["regenerate"]["if"] == fork, "a fork's schedule does nothing"
    gate = "${{ failure() && needs.regenerate.outputs.status == '3' }}"
    assert (jobs["refused"]["needs"], jobs["refused"]["if"]) == ("regenerate", gate)
    assert jobs["regenerate"]["outputs"] == {"status": "${{ steps.regenerate.outputs.status }}"}
    assert STEPS["Regenerate"]["id"] == "regenerate"
    for name, step in STEPS.items():
        assert step.get("if") == ("${{ always() }}" if "report" in str(name) else None)
    kept = STEPS["Keep the report"]["with"]
    assert (kept["if-no-files-found"], kept["overwrite"]) == ("ignore", True)


def test_what_is_given_reaches_the_scripts_by_their_environment() -> None:
    assert WORKFLOW["env"] == {
        "VARIANT": "${{ inputs.recipe || inputs.variant || vars.MAGPIE_VARIANT }}",
        "REPO": "${{ inputs.repo_id || vars.MAGPIE_REPO }}",
    }
    environment = STEPS["Regenerate"]["env"]
    assert set(environment) == {*ASKED, "MAGPIE_HOME", "HF_OIDC_RESOURCE"}
    assert environment["TICK"] == "${{ inputs.tick || github.run_id }}", "one for all attempts"
    assert environment["PUSH"] == "${{ github.event_name == 'schedule' || inputs.push }}"
    assert environment["HF_OIDC_RESOURCE"] == ("datasets/${{ inputs.repo_id || vars.MAGPIE_REPO }}")
    # Any other MAGPIE_* variable would be a setting of the run.
    assert [name for name in environment if name.startswith("MAGPIE")] == ["MAGPIE_HOME"]


def test_runs_of_one_dataset_wait_for_each_other_and_none_is_cancelled() -> None:
    assert WORKFLOW["concurrency"] == {
        "group": "regenerate ${{ inputs.recipe || inputs.variant || vars.MAGPIE_VARIANT }} "
        "${{ inputs.repo_id || vars.MAGPIE_REPO }}",
        "cancel-in-progress": False,
        "queue": "max",
    }


def test_the_file_fits_the_project_and_its_docs() -> None:
    assert WORKFLOW["on"]["schedule"] == [{"cron": "17 3 * * 1"}]
    inputs = WORKFLOW["on"]["workflow_dispatch"]["inputs"]
    assert inputs["variant"]["options"] == variant_names()
    text = PATH.read_text()
    assert set(re.findall(r"\binputs\.(\w+)", text)) == set(inputs)
    assert set(re.findall(r"\bsteps\.(\w+)\.", text)) <= set(re.findall(r"\bid: (\w+)", text))
    docs = (ROOT / "docs" / "regenerate.md").read_text()
    for variable in set(re.findall(r"\bvars\.(\w+)", text)):
        assert f"`{variable}`" in docs, f"docs/regenerate.md says nothing of {variable}"


# ---- for real

REAL = 'os.execv(sys.executable, [sys.executable, "-m", "magpie_hub", *sys.argv[1:]])'


@pytest.mark.engine
def test_a_dataset_grows_once_with_no_token_stored_anywhere(
    hub_peer: HubPeer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The step with the command itself, a tiny model, and a trusted publisher's token."""
    repo_id = "tester/magpie-tiny"
    model = write_tiny_model(tmp_path / "model")
    card = {"license": "apache-2.0"}
    recipe = write_tiny_recipe(tmp_path / "tiny.magpie.yaml", model, rows=8, card=card)
    monkeypatch.setenv("MAGPIE_HOME", str(tmp_path / "first"))
    release = api.build(recipe, tmp_path / "published")
    publish(hub_peer, release.path, repo_id)
    machine, repo = Machine(WORKFLOW, tmp_path / "machine", REAL), hub_peer.repo(repo_id)
    given = {
        **hub_peer.environment(None, home=tmp_path / "hf"),
        **ASKED,
        "VARIANT": str(recipe),
        "REPO": repo_id,
        "GROW": "4",
        "STATE": str(tmp_path / "state"),
        "MAGPIE_HOME": str(tmp_path / "another-machine"),
        "HF_OIDC_RESOURCE": f"datasets/{repo_id}",
        "PYTHONPATH": str(ROOT),
    }
    del given["PATH"]

    def attempt() -> Done:
        with id_tokens(hub_peer.id_token, audience=hub_peer.endpoint) as (url, bearer):
            tokens = {
                "ACTIONS_ID_TOKEN_REQUEST_URL": url,
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": bearer,
            }
            return machine.run("regenerate", "Regenerate", **given, **tokens)

    refused, commits = attempt(), list(repo.commits)
    assert refused.status == 2
    assert "knows no trusted publisher" in refused.log

    hub_peer.trusted.add(f"datasets/{repo_id}")
    done = attempt()
    assert (done.status, done.outputs) == (0, "status=0\n"), done.log
    assert json.loads(repo.files()["manifest.json"])["rows"] == 12
    assert len(repo.commits) == len(commits) + 1
    assert hub_peer.asked("commit")[-1].token == "keyless"
    assert (machine.temp / "report.md").read_text().startswith("Passed")
    shown = refused.log + done.log
    assert hub_peer.tokens["keyless"].text not in shown
    assert hub_peer.id_token not in shown

    (machine.temp / "report.md").unlink()
    assert attempt().status == 0
    assert len(repo.commits) == len(commits) + 1, "once a run"
    assert machine.run("regenerate", "Show the report", STATUS="0").summary == ALREADY


def publish(peer: HubPeer, folder: Path, repo_id: str) -> None:
    from magpie_hub.hub.publish import PublishOptions, publish

    publish(PublishOptions(folder, "tiny", repo_id), api=peer.api("write"))
