"""Schedules on HF Jobs: one for a variant and repository, whatever happens on the way."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from magpie_hub.errors import HubError, MagpieError, UserError
from magpie_hub.hub.jobs.client import Scheduled
from magpie_hub.hub.jobs.command import IMAGE, RECIPE
from magpie_hub.hub.jobs.schedule import Made, Schedule, Schedules
from tests.hub_peer.server import HubPeer
from tests.hub_peer.tokens import new_token
from tests.manifests import manifest

REPO = "tester/magpie-air"
AIR = Schedule("air")
LATER = replace(AIR, cron="@daily")


class Scheduler:
    """Schedules on a peer, noting what is said and how long is waited."""

    def __init__(self, peer: HubPeer) -> None:
        self.peer = peer
        self.said: list[str] = []
        self.waited: list[float] = []

    def schedules(self, token: str | None = "write", namespace: str | None = None) -> Schedules:
        api = self.peer.api(token)
        return Schedules(namespace, api=api, say=self.said.append, sleep=self.waited.append)

    def create(
        self,
        asked: Schedule = AIR,
        token: str | None = "write",
        secret: str | None = None,
        namespace: str | None = None,
    ) -> Made:
        return self.schedules(token, namespace).create(asked, secret)

    def show(self, *what: str, token: str | None = "write", **how: Any) -> tuple[Scheduled, ...]:
        return self.schedules(token, **how).show(*what)

    def remove(self, *what: str, token: str | None = "write") -> tuple[Scheduled, ...]:
        return self.schedules(token).remove(*what)

    @property
    def ids(self) -> list[str]:
        return list(self.peer.jobs.scheduled)

    @property
    def only(self) -> dict[str, Any]:
        (one,) = self.peer.jobs.scheduled.values()
        return one


@pytest.fixture
def jobs(hub_peer: HubPeer) -> Scheduler:
    """A scheduler, and a release of air to go on from."""
    publish(hub_peer, REPO, "air")
    return Scheduler(hub_peer)


def publish(peer: HubPeer, repo_id: str, name: str) -> None:
    peer.create_repo(repo_id, files={"manifest.json": manifest(name)})


# ---- create


def test_a_schedule_is_created_with_what_a_person_would_run(jobs: Scheduler) -> None:
    made = jobs.create(replace(AIR, grow=500, state="hf://buckets/tester/magpie"))
    assert (made.state, made.removed) == ("created", ())
    spec = jobs.only["jobSpec"]
    assert (jobs.only["schedule"], jobs.only["suspend"], jobs.only["concurrency"]) == (
        "0 3 * * 1",
        False,
        False,
    )
    assert (spec["flavor"], spec["dockerImage"], spec["timeoutSeconds"]) == ("l4x1", IMAGE, 36_000)
    assert spec["secrets"] == ["HF_TOKEN"]
    tick = (
        "magpie-hub regenerate --variant air --repo-id tester/magpie-air --push --grow 500 "
        "--state hf://buckets/tester/magpie --report /tmp/report.md"
    )
    assert tick in spec["command"][-1]
    assert made.schedule.command == tuple(spec["command"])
    assert (made.schedule.name, made.schedule.repo_id) == ("air", REPO)
    assert made.schedule.next_run is not None
    assert jobs.peer.jobs.secrets[made.schedule.id] == {"HF_TOKEN": jobs.peer.tokens["write"].text}


def test_the_same_again_changes_nothing(jobs: Scheduler) -> None:
    first = jobs.create()
    again = jobs.create()
    assert (again.state, again.schedule) == ("unchanged", first.schedule)
    assert len(jobs.peer.asked("schedule_create")) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"cron": "@daily"},
        {"grow": 7},
        {"state": "s3://bucket/x"},
        {"flavor": "h200"},
        {"timeout": "1.5h"},
        {"image": "mine/image:1"},
        {"requirement": "git+https://github.com/me/magpie_hub@v1"},
        {"suspended": True},
        {"renew": True},
    ],
)
def test_what_is_changed_is_replaced(jobs: Scheduler, change: dict[str, Any]) -> None:
    first = jobs.create()
    other = replace(AIR, **change)
    made = jobs.create(other)
    assert (made.state, made.removed) == ("replaced", (first.schedule.id,))
    assert jobs.ids == [made.schedule.id]
    asked = [each.endpoint for each in jobs.peer.requests if each.endpoint.startswith("schedule_")]
    assert asked == ["schedule_create", "schedule_create", "schedule_delete"], "never none"
    assert jobs.create(replace(other, renew=False)).state == "unchanged"


def test_what_a_person_changed_on_the_hub_is_seen(jobs: Scheduler) -> None:
    first = jobs.create().schedule
    here = {"scheduled_job_id": first.id, "namespace": "tester"}
    api = jobs.peer.api()
    jobs.only["jobSpec"]["labels"] = {}
    assert jobs.create().state == "unchanged", "labels are the user's"
    api.suspend_scheduled_job(**here)
    assert jobs.create().state == "unchanged", "a suspended schedule stays suspended"
    moved = jobs.create(LATER)
    assert (moved.state, moved.schedule.suspended) == ("replaced", True)
    assert moved.schedule.next_run is None
    assert not jobs.create(replace(LATER, suspended=False)).schedule.suspended
    jobs.only["schedule"] = "@monthly"
    assert jobs.create(LATER).state == "replaced"


def test_each_variant_and_repository_has_its_own(jobs: Scheduler) -> None:
    publish(jobs.peer, "magpie-test/Air.v2", "air")
    publish(jobs.peer, "tester/magpie-smol", "smol")
    jobs.create()
    jobs.create(replace(AIR, repo_id="magpie-test/Air.v2"))
    smol = jobs.create(Schedule("smol"))
    assert (smol.state, smol.schedule.flavor) == ("created", "cpu-basic")
    assert len(jobs.ids) == 3
    theirs = jobs.create(namespace="magpie-test")
    assert (theirs.state, theirs.schedule.namespace) == ("created", "magpie-test")
    assert len(jobs.show()) == 3
    assert [job.id for job in jobs.show(namespace="magpie-test")] == [theirs.schedule.id]


def test_scheduled_jobs_of_other_people_are_left_alone(jobs: Scheduler) -> None:
    other = jobs.peer.api().create_scheduled_job(
        image="python:3.12", command=["true"], schedule="@daily", namespace="tester"
    )
    jobs.create()
    jobs.create(LATER)
    jobs.remove("air")
    assert jobs.ids == [other.id]
    assert jobs.show() == ()


# ---- show, remove


def test_show_says_when_what_and_what_became_of_it(jobs: Scheduler) -> None:
    made = jobs.create().schedule
    assert jobs.show() == jobs.show("air") == jobs.show("air", REPO) == (made,)
    run = jobs.peer.jobs.ran(made.id, "ERROR", "Job timeout")
    (shown,) = jobs.show("air")
    assert shown.last_run is not None
    assert (shown.last_run.stage, shown.last_run.message) == ("ERROR", "Job timeout")
    assert shown.last_run.url == f"{jobs.peer.endpoint}/jobs/tester/{run}"
    del jobs.peer.jobs.runs[run]
    (shown,) = jobs.show("air")
    assert shown.last_run is not None
    assert shown.last_run.stage is None


def test_remove_takes_away_what_it_names(jobs: Scheduler) -> None:
    publish(jobs.peer, "tester/other", "air")
    first = jobs.create().schedule
    other = jobs.create(replace(AIR, repo_id="tester/other")).schedule
    with pytest.raises(UserError, match="tester/magpie-air, tester/other; name one"):
        jobs.remove("air")
    assert jobs.remove("air", "tester/other") == (other,)
    assert jobs.ids == [first.id]
    assert jobs.remove("air") == (first,)
    assert jobs.ids == []


def test_what_is_not_there_is_said_with_what_there_is(jobs: Scheduler) -> None:
    for verb in (jobs.remove, jobs.show):
        with pytest.raises(UserError, match="pro: no such schedule in tester; there is none"):
            verb("pro")
    jobs.create()
    for verb in (jobs.remove, jobs.show):
        with pytest.raises(UserError, match="there is air for tester/magpie-air"):
            verb("air", "tester/else")
    assert len(jobs.ids) == 1


# ---- what is refused


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Schedule("nope"), "no such variant"),
        (replace(AIR, repo_id="tester/nowhere"), "no release of air there"),
        (replace(AIR, repo_id="tester/empty"), "no release of air there"),
        (replace(AIR, repo_id="no-namespace"), "NAMESPACE/NAME"),
        (replace(AIR, repo_id="tester/..bad"), "not a repository's name"),
        (replace(AIR, flavor="l4x11"), "did you mean l4x1"),
        (replace(AIR, flavor="t4-small"), "l4x1 is the smallest that does"),
        (replace(AIR, cron="every monday"), "five fields"),
        (replace(AIR, cron="@sometimes"), "@weekly"),
        (replace(AIR, cron="99 3 * * 1"), "the Hub refuses it: .*Invalid cron"),
        (replace(AIR, timeout="a while"), "--timeout"),
        (replace(AIR, timeout="0h"), "--timeout"),
        (replace(AIR, state="./here"), "does not see this machine's files"),
        (replace(AIR, state="here"), "end with the job"),
        (replace(AIR, requirement="./dist/a.whl"), "does not see this machine's files"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(jobs: Scheduler, asked: Schedule, says: str) -> None:
    jobs.peer.create_repo("tester/empty")
    before = jobs.create().schedule
    with pytest.raises(UserError, match=says) as caught:
        jobs.create(asked)
    assert "\n" not in str(caught.value)
    assert jobs.ids == [before.id], "what was there stays"


@pytest.mark.parametrize(
    ("namespace", "says"),
    [("stranger", "this token may not do that there"), ("nobody", "no such namespace")],
)
def test_a_namespace_that_is_not_the_callers(jobs: Scheduler, namespace: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        jobs.create(namespace=namespace)
    assert jobs.ids == []


MINE = """
name: mine
description: Words of mine, ‘quoted’ and $(not run).
model: org/model
rows: 8
memory_gib: 10
"""


def test_a_recipe_of_ones_own_goes_along(jobs: Scheduler, tmp_path: Path) -> None:
    mine = tmp_path / "my recipe.yaml"
    mine.write_text(MINE, encoding="utf-8")
    publish(jobs.peer, "tester/magpie-mine", "mine")
    made = jobs.create(Schedule(str(mine)))
    assert (made.schedule.name, made.schedule.repo_id) == ("mine", "tester/magpie-mine")
    spec = jobs.only["jobSpec"]
    # As the container's shell does it, in a folder of the test's.
    step = next(part for part in spec["command"][-1].split("; ") if part.startswith("printf "))
    there = tmp_path / "container.yaml"
    done = subprocess.run(
        ["bash", "-c", step.replace(RECIPE, shlex.quote(str(there)))],
        env=spec["environment"] | {"PATH": os.environ["PATH"]},
        check=False,
    )
    assert done.returncode == 0
    assert there.read_text(encoding="utf-8") == MINE
    assert f"--variant {RECIPE} --repo-id tester/magpie-mine" in spec["command"][-1]
    assert jobs.create(Schedule(str(mine))).state == "unchanged"
    mine.write_text(MINE.replace("rows: 8", "rows: 9"), encoding="utf-8")
    assert jobs.create(Schedule(str(mine))).state == "replaced"
    assert [one.name for one in jobs.show(str(mine))] == ["mine"]
    assert len(jobs.remove(str(mine))) == 1
    assert jobs.ids == []


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("model: ./weights", "does not see this machine's files"),
        (f"card: {{blocks: {{header: 'hf_{'aZ4bY7cX' * 4}qW'}}}}", "token"),
        (f"card: {{blocks: {{header: '{'x ' * 40_000}'}}}}", "at most"),
        ("modle: x", "modle"),
    ],
)
def test_a_recipe_that_a_job_cannot_have_is_refused(
    jobs: Scheduler, tmp_path: Path, more: str, says: str
) -> None:
    (tmp_path / "weights").mkdir()
    mine = tmp_path / "mine.yaml"
    text = MINE.replace("model: org/model", more) if more.startswith("model:") else MINE + more
    mine.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=says) as caught:
        jobs.create(Schedule(str(mine)))
    assert "\n" not in str(caught.value)
    assert jobs.ids == []


@pytest.mark.parametrize(
    ("token", "says"),
    [(None, "hf auth login"), ("read", "token is read-only"), ("stranger", "no release of air")],
)
def test_a_token_that_cannot_be_used(jobs: Scheduler, token: str | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        jobs.create(token=token)
    with pytest.raises(UserError, match=says):
        jobs.create(secret=jobs.peer.tokens[token].text if token else "hf_unknown")
    assert jobs.ids == []


def test_a_read_only_caller_may_look_and_no_more(jobs: Scheduler) -> None:
    made = jobs.create().schedule
    write = jobs.peer.tokens["write"].text
    assert jobs.show("air", token="read") == (made,)
    for change in (
        lambda: jobs.create(LATER, "read", write),
        lambda: jobs.remove("air", token="read"),
    ):
        with pytest.raises(UserError, match="needs the write role"):
            change()
    assert jobs.ids == [made.id]


@pytest.mark.parametrize("token", ["hf_jwt_abc", "hf_oauth_abc"])
def test_a_token_that_ends_soon_is_refused(jobs: Scheduler, token: str) -> None:
    with pytest.raises(UserError, match="--token-from") as caught:
        jobs.create(secret=token)
    assert token not in str(caught.value)
    assert jobs.peer.requests == []


def test_without_money_the_hub_is_quoted(jobs: Scheduler) -> None:
    jobs.peer.jobs.credit = False
    with pytest.raises(UserError, match="credit balance"):
        jobs.create()


# ---- the Hub's failures

CREATING = ("whoami", "hardware", "repo_info", "tree", "resolve", "schedules", "schedule_create")
REPLACING = (*CREATING, "schedule_delete")
REMOVING = ("whoami", "schedules", "schedule_delete")
KINDS = ("503", "lost-504", "lost-connection", "429")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.parametrize("endpoint", REPLACING)
def test_one_fault_is_waited_out(jobs: Scheduler, endpoint: str, kind: str, skip: int) -> None:
    jobs.peer.faults.add(endpoint, kind, skip=skip)
    first = jobs.create()
    assert first.state == "created"
    assert jobs.ids == [first.schedule.id], "no second schedule"
    second = jobs.create(LATER)
    assert second.state == "replaced"
    assert jobs.ids == [second.schedule.id]
    assert jobs.only["schedule"] == "@daily"


@pytest.mark.parametrize("kind", ["503", "lost-504", "lost-connection"])
@pytest.mark.parametrize("endpoint", [name for name in REPLACING if name != "resolve"])
def test_a_hub_that_stays_down_leaves_a_schedule_and_a_clear_line(
    jobs: Scheduler, endpoint: str, kind: str
) -> None:
    old = jobs.create().schedule
    jobs.peer.faults.add(endpoint, kind, times=1000)
    lost = kind.startswith("lost")
    if lost and endpoint == "schedule_create":
        assert jobs.create(LATER).state == "replaced", "the list says that it went through"
        assert len(jobs.ids) == 1
        return
    if lost and endpoint == "schedule_delete":
        assert jobs.create(LATER).state == "replaced", "what is gone is gone"
        assert len(jobs.ids) == 1
        return
    with pytest.raises(HubError, match="run again") as caught:
        jobs.create(LATER)
    assert "\n" not in str(caught.value)
    if endpoint == "schedule_delete":
        assert len(jobs.ids) == 2
        assert all(schedule_id in str(caught.value) for schedule_id in jobs.ids)
    else:
        assert jobs.ids == [old.id]
    jobs.peer.faults.clear()
    healed = jobs.create(LATER)
    assert healed.state == ("unchanged" if endpoint == "schedule_delete" else "replaced")
    assert healed.removed == (old.id,)
    assert jobs.ids == [healed.schedule.id]


@pytest.mark.parametrize("kind", ["503", "lost-connection"])
@pytest.mark.parametrize("endpoint", CREATING)
def test_a_hub_that_is_down_from_the_start(jobs: Scheduler, endpoint: str, kind: str) -> None:
    jobs.peer.faults.add(endpoint, kind, times=1000)
    if (endpoint, kind) == ("schedule_create", "lost-connection"):
        assert jobs.create().state == "created", "the list says that it went through"
    else:
        with pytest.raises(HubError, match="run again") as caught:
            jobs.create()
        assert "\n" not in str(caught.value)
        assert jobs.ids == []
        jobs.peer.faults.clear()
        assert jobs.create().state == "created"
    assert len(jobs.ids) == 1


def test_a_hub_that_goes_down_after_the_new_one_says_so(jobs: Scheduler) -> None:
    old = jobs.create().schedule
    jobs.peer.faults.add("schedules", "503", times=1000, skip=1)
    with pytest.raises(HubError, match="the new schedule .* and any older one beside it"):
        jobs.create(LATER)
    assert old.id in jobs.ids
    assert len(jobs.ids) == 2
    jobs.peer.faults.clear()
    assert jobs.create(LATER).removed == (old.id,)


@pytest.mark.parametrize("endpoint", REMOVING)
def test_a_hub_that_is_down_while_removing(jobs: Scheduler, endpoint: str) -> None:
    made = jobs.create().schedule
    jobs.peer.faults.add(endpoint, "503", times=1000)
    with pytest.raises(HubError, match="run again"):
        jobs.remove("air")
    assert jobs.ids == [made.id]
    jobs.peer.faults.clear()
    jobs.peer.faults.add(endpoint, "lost-504")
    assert jobs.remove("air") == (made,)
    assert jobs.ids == []


@pytest.mark.parametrize("endpoint", ["whoami", "schedules", "job"])
def test_a_hub_that_is_down_while_showing(jobs: Scheduler, endpoint: str) -> None:
    jobs.peer.jobs.ran(jobs.create().schedule.id, "COMPLETED")
    jobs.peer.faults.add(endpoint, "503", times=1000)
    with pytest.raises(HubError, match="run again") as caught:
        jobs.show()
    assert "\n" not in str(caught.value)
    jobs.peer.faults.clear()
    jobs.peer.faults.add(endpoint, "503")
    assert len(jobs.show()) == 1


# ---- two at once


@pytest.mark.parametrize("theirs", [AIR, LATER])
@pytest.mark.parametrize("before", [None, replace(AIR, grow=9)])
@pytest.mark.parametrize("endpoint", ["schedules", "schedule_create", "schedule_delete"])
def test_another_one_at_any_moment(
    jobs: Scheduler,
    endpoint: str,
    before: Schedule | None,
    theirs: Schedule,
) -> None:
    if before:
        jobs.create(before)
    jobs.peer.before(endpoint, lambda: Scheduler(jobs.peer).create(theirs))
    made = jobs.create(AIR)
    assert len(jobs.ids) == 1
    if endpoint != "schedule_delete":
        assert made.schedule.id in jobs.ids
    if endpoint == "schedule_create":
        assert jobs.only["schedule"] == AIR.cron, "the later one stands"
    assert jobs.create(AIR).schedule.cron == AIR.cron
    assert len(jobs.ids) == 1


def test_many_at_once_leave_one(jobs: Scheduler) -> None:
    for number in range(5):
        errors: list[MagpieError] = []

        def one(grow: int, errors: list[MagpieError] = errors) -> None:
            try:
                Scheduler(jobs.peer).create(replace(AIR, grow=grow))
            except MagpieError as error:
                errors.append(error)

        jobs.peer.faults.add("schedule_create", "lost-504", skip=number % 3)
        jobs.peer.faults.add("schedule_delete", "lost-504")
        threads = [threading.Thread(target=one, args=(number * 3 + at,)) for at in range(1, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len(jobs.ids) == 1


# ---- the token


def test_the_token_is_in_the_secrets_and_nowhere_else(
    jobs: Scheduler, capfd: pytest.CaptureFixture[str]
) -> None:
    token = jobs.peer.tokens["job"] = new_token("job", "tester", "write")
    statuses: list[object] = []

    def attempt(do: Callable[[], object]) -> None:
        try:
            statuses.append(do())
        except MagpieError as error:
            statuses.append(str(error))

    jobs.peer.faults.add("schedule_create", "503")
    jobs.peer.faults.add("schedule_create", "lost-504")
    attempt(lambda: jobs.create(secret=token.text))
    attempt(lambda: jobs.create(LATER, secret=token.text))
    attempt(lambda: jobs.create(replace(AIR, state=f"s3://{token.text}@bucket"), secret=token.text))
    attempt(lambda: jobs.create(replace(AIR, requirement=f"git+https://x:{token.text}@host/a")))
    attempt(lambda: jobs.create(replace(AIR, image=f"x/{token.text}"), namespace="somebody"))
    attempt(jobs.show)
    jobs.peer.faults.add("schedule_create", "503", times=1000)
    attempt(lambda: jobs.create(secret=token.text))
    attempt(lambda: jobs.remove("air"))
    secrets = [body["jobSpec"].pop("secrets") for body in jobs.peer.jobs.bodies]
    assert {"HF_TOKEN": token.text} in secrets
    bodies = jobs.peer.jobs.bodies
    posts = [each for each in jobs.peer.requests if each.bytes_in]
    assert {each.endpoint for each in posts} == {"schedule_create"}, "no other bodies to look at"
    out, err = capfd.readouterr()
    shown = f"{statuses} {bodies} {jobs.peer.requests} {jobs.said} {out} {err}"
    assert "replaced" in shown
    assert token.text not in shown
    assert jobs.peer.tokens["write"].text not in shown


# ---- the command


Magpie = Callable[..., tuple[int, str, str]]


@pytest.fixture
def magpie(
    jobs: Scheduler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Magpie:
    """Runs `magpie-hub schedule …` in this process: its status, output and messages."""
    from huggingface_hub import HfApi

    from magpie_hub.cli.main import main
    from magpie_hub.hub.jobs import schedule

    # The client reads HF_ENDPOINT when it is imported.
    monkeypatch.setattr(schedule, "hub_api", lambda: HfApi(endpoint=jobs.peer.endpoint))
    monkeypatch.setenv("HF_TOKEN", jobs.peer.tokens["write"].text)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["magpie-hub", "schedule", *arguments])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_the_command_from_create_to_remove(
    jobs: Scheduler, magpie: Magpie, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = jobs.peer.tokens["job"] = new_token("job", "tester", "write")
    monkeypatch.setenv("JOB_TOKEN", token.text)
    air = ("--variant", "air")
    seen = ""

    def run(*arguments: str, status: int = 0) -> str:
        nonlocal seen
        code, out, err = magpie(*arguments)
        seen += out + err
        assert code == status, err
        if status == 2:
            assert (out, err.count("\n")) == ("", 1)
        return out if status == 0 else err

    made = json.loads(run("create", *air, "--token-from", "JOB_TOKEN", "--json"))
    assert (made["state"], made["schedule"]["name"]) == ("created", "air")
    assert jobs.peer.jobs.secrets[made["schedule"]["id"]] == {"HF_TOKEN": token.text}
    assert "--renew" in run("create", *air)
    assert "replaced" in run("create", *air, "--cron", "@daily", "--suspended")
    assert "replaced" in run("create", *air, "--cron", "@daily", "--active", "--grow", "5")
    assert "next run: 2030-01-07 03:00 UTC" in run("show")
    jobs.peer.jobs.ran(jobs.ids[0], "COMPLETED")
    shown = run("show", *air, "--repo-id", REPO)
    assert "@daily (UTC)" in shown
    assert "COMPLETED" in shown
    (line,) = [line for line in shown.splitlines() if "command:" in line]
    assert shlex.split(line.split("command:")[1]) == jobs.only["jobSpec"]["command"]
    (one,) = json.loads(run("show", "--json"))
    assert one["last_run"]["stage"] == "COMPLETED"
    assert one["next_run"].startswith("2030-01-07T03:00")
    assert "no such schedule" in run("remove", "--variant", "pro", status=2)
    assert "removed: air for tester/magpie-air" in run("remove", *air)
    assert "there is none" in run("remove", *air, status=2)
    assert (run("show"), run("show", "--json")) == ("", "[]\n")
    assert "variable" in run("create", *air, "--token-from", token.text, status=2)
    assert "Missing option" in run("remove", status=2)
    assert token.text not in seen
    assert jobs.peer.tokens["write"].text not in seen


def test_a_hub_that_is_down_ends_the_command_with_status_1(
    jobs: Scheduler, magpie: Magpie, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magpie_hub.hub.client.ATTEMPTS", 1)
    jobs.peer.faults.add("schedules", "503", times=1000)
    status, out, err = magpie("show")
    assert (status, out, err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("verb", ["", "create", "show", "remove"])
def test_help_is_everywhere(magpie: Magpie, verb: str) -> None:
    status, out, _ = magpie(*filter(None, (verb, "-h")))
    assert status == 0
    assert f"schedule {verb}".strip() in out.splitlines()[0]


def test_the_command_as_people_run_it(jobs: Scheduler, tmp_path: Path) -> None:
    def run(token: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "magpie_hub", "schedule", "create", "--variant", "air"],
            env=jobs.peer.environment(token, home=tmp_path),
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )

    without = run(None)
    assert (without.returncode, without.stdout) == (2, "")
    assert "hf auth login" in without.stderr
    assert without.stderr.count("\n") == 1
    done = run("write")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("created: air for tester/magpie-air, schedule ")
    assert jobs.peer.tokens["write"].text not in done.stdout
