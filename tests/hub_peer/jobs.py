"""Scheduled jobs, and the jobs that they started.

Shapes are those that `huggingface_hub` 2.4 reads and huggingface.js declares (`ApiScheduledJob`);
of secrets only the names are ever shown. Nothing runs: a test says what was run with `Jobs.ran`.
"""

from __future__ import annotations

import re
import secrets
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from starlette.responses import Response

from tests.hub_peer.routing import Call, Refusal, Route, ok, route
from tests.hub_peer.tokens import may_write, owns, signed_in

NEXT_RUN = "2030-01-07T03:00:00.000Z"
_NAMES = ("@annually", "@yearly", "@monthly", "@weekly", "@daily", "@hourly")
_FIELD = re.compile(r"(\*|\d+(-\d+)?|[A-Z]{3}(-[A-Z]{3})?)(/\d+)?(,\d+(-\d+)?)*")
MACHINES = {
    "cpu-basic": (None, 0, 0.01),
    "cpu-upgrade": (None, 0, 0.03),
    "t4-small": ("T4", 16, 0.40),
    "l4x1": ("L4", 24, 0.80),
    "l4x4": ("L4", 96, 3.80),
    "a10g-small": ("A10G", 24, 1.00),
    "l40sx1": ("L40S", 48, 1.80),
    "a100-large": ("A100", 80, 2.50),
    "h200": ("H200", 141, 5.00),
    "rtx-pro-6000x2": ("RTX PRO 6000", 192, 5.50),
    "l40sx4": ("L40S", 192, 8.30),
    "h200x8": ("H200", 1128, 40.00),
    "inf2x6": ("Inferentia2", 192, 0.10),
}
"""Some machines of HF Jobs: accelerator, GB of its memory, and dollars an hour."""
_LABEL = re.compile(r"[A-Za-z0-9_-]{0,100}")


@dataclass(slots=True)
class Jobs:
    """What a test sees of jobs.

    Attributes:
        scheduled: Scheduled jobs by id, as the API shows them.
        runs: Jobs by id, as the API shows them.
        secrets: The secrets of each scheduled job, which the API never shows.
        bodies: What was posted, whole.
        credit: Whether there is money to run jobs with.
    """

    scheduled: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    credit: bool = True
    _made: count[int] = field(default_factory=count)

    def new_id(self) -> tuple[str, str]:
        """An id and a time, both later than any before."""
        number = next(self._made)
        when = f"2026-11-21T00:{number // 60:02}:{number % 60:02}.000Z"
        return f"{0x687F_B701 + number:08x}{secrets.token_hex(8)}", when

    def ran(self, schedule_id: str, stage: str, message: str | None = None) -> str:
        """Notes that a scheduled job was run, and how that ended; the job's id."""
        job_id, at = self.new_id()
        spec = self.scheduled[schedule_id]
        status = {"stage": stage, "message": message}
        self.runs[job_id] = {"id": job_id, "createdAt": at, "owner": spec["owner"]}
        self.runs[job_id] |= {**spec["jobSpec"], "status": status}
        spec["status"]["lastJob"] = {"id": job_id, "at": at}
        return job_id


def _namespace(call: Call) -> str:
    """The namespace that a request is about, if the caller may see its jobs."""
    signed_in(call)
    known = {*call.peer.orgs, *(token.user for token in call.peer.tokens.values())}
    if call.parts["namespace"] not in known:
        raise Refusal(404, "Namespace not found")
    if not owns(call, call.parts["namespace"]):
        raise Refusal(403, "Forbidden: you have no access to the jobs of this namespace")
    return call.parts["namespace"]


def _mine(call: Call, jobs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    namespace, found = _namespace(call), jobs.get(call.parts["id"])
    if found is None or found["owner"]["name"] != namespace:
        raise Refusal(404, "Job not found")
    return found


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    job = deepcopy(job)
    if not job["suspend"]:
        job["status"]["nextJobRunAt"] = NEXT_RUN
    return job


def _hardware(call: Call) -> Response:
    """As ``GET /api/jobs/hardware`` of the Hub answers, prices by the minute."""
    return ok([_machine(name, *machine) for name, machine in MACHINES.items()])


def _machine(name: str, model: str | None, gigabytes: int, dollars: float) -> dict[str, Any]:
    accelerator = {
        "type": "gpu",
        "model": model,
        "quantity": "1",
        "vram": f"{gigabytes} GB",
        "manufacturer": "AWS" if name.startswith("inf") else "Nvidia",
    }
    return {
        "name": name,
        "prettyName": name,
        "cpu": "2 vCPU",
        "ram": "16 GB",
        "ephemeralStorage": "20 GB",
        "accelerator": accelerator if model else None,
        "unitCostMicroUSD": round(dollars / 60 * 1e6),
        "unitCostUSD": dollars / 60,
        "unitLabel": "minute",
    }


def _list(call: Call) -> Response:
    namespace, wanted = _namespace(call), call.query.get("label")
    return ok(
        [
            _shown(job)
            for job in call.peer.jobs.scheduled.values()
            if job["owner"]["name"] == namespace
            and (not wanted or tuple(wanted.split("=", 1)) in job["jobSpec"]["labels"].items())
        ]
    )


def _create(call: Call) -> Response:
    namespace, asked, jobs = _namespace(call), call.json(), call.peer.jobs
    jobs.bodies.append(asked)
    may_write(call)
    spec = deepcopy(asked["jobSpec"])
    _check(asked["schedule"], spec)
    if not jobs.credit:
        raise Refusal(402, "Pre-paid credit balance is insufficient")
    schedule_id, at = jobs.new_id()
    jobs.secrets[schedule_id] = spec.pop("secrets", {})
    jobs.scheduled[schedule_id] = {
        "id": schedule_id,
        "createdAt": at,
        "updatedAt": at,
        "schedule": asked["schedule"],
        "suspend": bool(asked.get("suspend")),
        "concurrency": bool(asked.get("concurrency")),
        "jobSpec": {**spec, "secrets": sorted(jobs.secrets[schedule_id])},
        "status": {},
        "owner": {
            "id": namespace,
            "name": namespace,
            "type": "org" if namespace in call.peer.orgs else "user",
        },
    }
    return ok(_shown(jobs.scheduled[schedule_id]))


def _check(schedule: str, spec: dict[str, Any]) -> None:
    fields = schedule.split(" ")
    if schedule not in _NAMES and not (len(fields) == 5 and all(map(_is_field, fields))):
        raise Refusal(400, f"Invalid cron expression: {schedule}")
    if spec["flavor"] not in MACHINES:
        raise Refusal(400, f"Invalid flavor: {spec['flavor']}")
    labels = spec.setdefault("labels", {})
    if not all(_LABEL.fullmatch(text) for pair in labels.items() for text in pair):
        raise Refusal(400, "Labels hold letters, digits, - and _, at most 100 of them")
    if not (spec["command"] and all(isinstance(word, str) for word in spec["command"])):
        raise Refusal(400, "A command is a list of words")


def _is_field(text: str) -> bool:
    return bool(_FIELD.fullmatch(text)) and all(int(n) < 60 for n in re.findall(r"\d+", text))


def _show(call: Call) -> Response:
    return ok(_shown(_mine(call, call.peer.jobs.scheduled)))


def _delete(call: Call) -> Response:
    found = _mine(call, call.peer.jobs.scheduled)
    may_write(call)
    del call.peer.jobs.scheduled[found["id"]]
    return ok()


def _switch(call: Call) -> Response:
    found = _mine(call, call.peer.jobs.scheduled)
    may_write(call)
    found["suspend"] = call.parts["do"] == "suspend"
    return ok()


def _run(call: Call) -> Response:
    return ok(_mine(call, call.peer.jobs.runs))


_ALL = "/api/scheduled-jobs/{namespace}"
ROUTES: list[Route] = [
    route("GET", "/api/jobs/hardware", "hardware", _hardware),
    route("GET", _ALL, "schedules", _list),
    route("POST", _ALL, "schedule_create", _create),
    route("GET", _ALL + "/{id}", "schedule", _show),
    route("DELETE", _ALL + "/{id}", "schedule_delete", _delete),
    route("POST", _ALL + "/{id}/(?P<do>suspend|resume)", "schedule_switch", _switch),
    route("GET", "/api/jobs/{namespace}/{id}", "job", _run),
]
