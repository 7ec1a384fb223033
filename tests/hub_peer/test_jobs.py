"""The peer's scheduled jobs, driven by the real client."""

from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import errors

from tests.hub_peer.server import HubPeer

JOB: dict[str, Any] = {"image": "python:3.12", "command": ["true"], "namespace": "tester"}


def test_a_scheduled_job_is_made_listed_switched_and_removed(hub_peer: HubPeer) -> None:
    api = hub_peer.api()
    made = api.create_scheduled_job(
        **JOB, schedule="@daily", env={"A": "b"}, secrets={"S": "hidden"}, labels={"k": "v"}
    )
    assert made.job_spec.environment == {"A": "b"}
    assert made.job_spec.secrets == ["S"], "names only, as the Hub shows them"
    assert hub_peer.jobs.secrets[made.id] == {"S": "hidden"}
    assert made.status.next_job_run_at is not None
    assert [job.id for job in api.list_scheduled_jobs(namespace="tester")] == [made.id]
    assert api.list_scheduled_jobs(namespace="tester", labels={"k": "other"}) == []
    assert api.list_scheduled_jobs(namespace="magpie-test") == []
    here = {"scheduled_job_id": made.id, "namespace": "tester"}
    api.suspend_scheduled_job(**here)
    assert api.inspect_scheduled_job(**here).suspend
    api.resume_scheduled_job(**here)
    run = hub_peer.jobs.ran(made.id, "ERROR", "Job timeout")
    last = api.inspect_scheduled_job(**here).status.last_job
    assert last is not None
    assert last.id == run
    assert api.inspect_job(job_id=run, namespace="tester").status.message == "Job timeout"
    api.delete_scheduled_job(**here)
    assert api.list_scheduled_jobs(namespace="tester") == []


@pytest.mark.parametrize(
    ("token", "how", "status"),
    [
        (None, {}, 401),
        ("read", {}, 403),
        ("stranger", {}, 403),
        ("write", {"schedule": "* * *"}, 400),
        ("write", {"schedule": "99 * * * *"}, 400),
        ("write", {"flavor": "t9"}, 400),
        ("write", {"labels": {"a": "b/c"}}, 400),
    ],
)
def test_what_is_refused(
    hub_peer: HubPeer, token: str | None, how: dict[str, Any], status: int
) -> None:
    with pytest.raises(errors.HfHubHTTPError) as caught:
        hub_peer.api(token).create_scheduled_job(**{**JOB, "schedule": "@daily", **how})
    assert caught.value.response.status_code == status
    assert hub_peer.jobs.scheduled == {}
