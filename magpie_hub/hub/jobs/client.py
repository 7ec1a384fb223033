"""Scheduled jobs of one namespace that are ours: found, made and removed.

The Hub keeps a job's environment as it was made with, and shows it in lists. A schedule is known by
the variables `MARK` and `CONTENT`, even if a user has changed its labels.

Of several with one mark the newest counts, and the older ones are removed. A schedule is removed
only when there is a newer one, so that there is always one: after a lost answer, after a removal
that failed, and when two callers make one at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError
from magpie_hub.hub.client import ATTEMPTS, Busy, Retry, ask

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ScheduledJobInfo

MARK = "MAGPIE_SCHEDULE"
"""Variable of a job that names its variant and repository: ``air@tester/magpie-air``."""

CONTENT = "MAGPIE_SCHEDULE_CONTENT"
"""Variable of a job that holds a hash of what was asked for."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """A job that a schedule has started.

    Attributes:
        id: Its id.
        at: When it was started.
        url: Its page, with its log.
        stage: COMPLETED, ERROR, RUNNING, …; None if that was not asked, or the Hub forgot it.
        message: The Hub's words about it.
    """

    id: str
    at: datetime
    url: str
    stage: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A schedule, as the Hub has it.

    Attributes:
        id: Its id.
        namespace: Whose it is.
        name: The variant.
        repo_id: The dataset.
        cron: When it runs, in UTC.
        suspended: Whether it waits to be resumed.
        flavor: The machine.
        image: The Docker image.
        command: What runs in it.
        content: Hash of what was asked for; empty if it has lost it.
        created: When it was made.
        next_run: When it runs next, if the Hub says so.
        last_run: What it started last.
    """

    id: str
    namespace: str
    name: str
    repo_id: str
    cron: str
    suspended: bool
    flavor: str
    image: str
    command: tuple[str, ...]
    content: str
    created: datetime
    next_run: datetime | None
    last_run: JobRun | None

    @property
    def mark(self) -> str:
        """Its variant and repository in one word."""
        return f"{self.name}@{self.repo_id}"


class Jobs:
    """The schedules of one namespace.

    Args:
        api: The Hub's client.
        namespace: Whose they are.
        retry: Asks the Hub until it answers.
    """

    def __init__(self, api: HfApi, namespace: str, retry: Retry) -> None:
        self._api = api
        self.namespace = namespace
        self._retry = retry
        self._what = f"the scheduled jobs of {namespace}"

    def find(self, mark: str | None = None) -> list[Scheduled]:
        """All schedules, or those with a mark; the newest last.

        Raises:
            UserError: There is no such namespace, or the Hub refuses.
            HubError: The Hub failed.
        """
        found = self._retry.ask(self._list)
        return [job for job in found if mark in (None, job.mark)]

    def make(
        self, mark: str, content: str, spec: Mapping[str, Any], there: Iterable[Scheduled]
    ) -> list[Scheduled]:
        """Makes a schedule, once, however the answers come.

        Args:
            mark: What it is known by.
            content: Hash of what was asked for.
            spec: Arguments of `HfApi.create_scheduled_job`.
            there: What there is already with that mark.

        Returns:
            All with that mark, the newest last.

        Raises:
            UserError: The Hub refuses it.
            HubError: The Hub failed; the message says what the namespace holds.
        """
        known = {job.id for job in there}
        before = self._retry.holds
        failure = ""
        for attempt in range(ATTEMPTS):
            made: list[Scheduled] = []
            try:
                made = [self._post(mark, content, spec)]
                self._retry.holds = f"the new schedule {made[0].id}, and any older one beside it"
            except Busy as error:
                busy, failure = error, str(error)
                self._retry.holds = f"{before}, and perhaps the new schedule too"
            found = {job.id: job for job in (*made, *self.find(mark))}
            if found.keys() - known:
                return sorted(found.values(), key=_age)
            self._retry.holds = before
            if attempt < ATTEMPTS - 1:
                self._retry.wait(busy, attempt)
        raise self._retry.give_up(failure)

    def remove(self, jobs: Iterable[Scheduled], beside: str = "") -> tuple[str, ...]:
        """Removes schedules; one that is gone already is as good.

        Args:
            jobs: Which.
            beside: What the namespace holds beside them, for the message if the Hub fails.

        Returns:
            Their ids.

        Raises:
            HubError: The Hub failed; the message says what the namespace holds.
        """
        ids = [job.id for job in jobs]
        for number, schedule_id in enumerate(ids):
            self._retry.holds = f"{beside}the schedule {' and '.join(ids[number:])}"
            self._retry.ask(lambda: self._remove(schedule_id))  # noqa: B023
        return tuple(ids)

    def _remove(self, schedule_id: str) -> None:
        try:
            self._delete(schedule_id)
        except Busy:
            # The answer may have been lost.
            if any(job.id == schedule_id for job in self.find()):
                raise

    def last_run(self, job: Scheduled) -> JobRun | None:
        """The last run of a schedule, and what has become of it."""
        run = job.last_run
        if run is None:
            return None
        stage, message = self._retry.ask(lambda: self._outcome(run.id))
        return JobRun(run.id, run.at, run.url, stage, message)

    # ---- single requests

    def _list(self) -> list[Scheduled]:
        from huggingface_hub.errors import HfHubHTTPError

        def read() -> list[Scheduled]:
            try:
                jobs = self._api.list_scheduled_jobs(namespace=self.namespace)
            except HfHubHTTPError as error:
                if error.response.status_code == 404:
                    raise UserError(
                        f"{self.namespace}: there is no such namespace, or this token may not "
                        "see its jobs; name another (--namespace)"
                    ) from None
                raise
            ours = (job for job in jobs if "@" in (job.job_spec.environment or {}).get(MARK, ""))
            return sorted(map(self._view, ours), key=_age)

        return ask(self._what, "reading", read)

    def _post(self, mark: str, content: str, spec: Mapping[str, Any]) -> Scheduled:
        # Users find a schedule by its labels on the Hub's pages.
        labels = {"name": _label(f"magpie-{mark}"), "magpie": _label(mark.partition("@")[0])}
        environment = {**spec.get("env", {}), MARK: mark, CONTENT: content}

        def post() -> Scheduled:
            made = self._api.create_scheduled_job(
                **{**spec, "env": environment},
                concurrency=False,
                labels=labels,
                namespace=self.namespace,
            )
            return self._view(made)

        return ask(self._what, "adding to", post)

    def _delete(self, schedule_id: str) -> None:
        from huggingface_hub.errors import HfHubHTTPError

        def delete() -> None:
            try:
                self._api.delete_scheduled_job(
                    scheduled_job_id=schedule_id, namespace=self.namespace
                )
            except HfHubHTTPError as error:
                if error.response.status_code != 404:
                    raise

        ask(self._what, "removing from", delete)

    def _outcome(self, job_id: str) -> tuple[str | None, str | None]:
        from huggingface_hub.errors import HfHubHTTPError

        def read() -> tuple[str | None, str | None]:
            try:
                status = self._api.inspect_job(job_id=job_id, namespace=self.namespace).status
            except HfHubHTTPError as error:
                if error.response.status_code == 404:
                    return None, None
                raise
            return str(status.stage), status.message

        return ask(self._what, "reading", read)

    def _view(self, job: ScheduledJobInfo) -> Scheduled:
        spec, last = job.job_spec, job.status.last_job
        environment = spec.environment or {}
        name, _, repo_id = str(environment.get(MARK, "")).partition("@")
        pages = f"{self._api.endpoint}/jobs/{self.namespace}"
        return Scheduled(
            id=job.id,
            namespace=self.namespace,
            name=name,
            repo_id=repo_id,
            cron=job.schedule or "",
            suspended=bool(job.suspend),
            flavor=str(spec.flavor or ""),
            image=spec.docker_image or spec.space_id or "",
            command=tuple(spec.command or ()),
            content=str(environment.get(CONTENT, "")),
            created=job.created_at or datetime.min.replace(tzinfo=UTC),
            next_run=None if job.suspend else job.status.next_job_run_at,
            last_run=JobRun(last.id, last.at, f"{pages}/{last.id}") if last else None,
        )


def _label(text: str) -> str:
    """A text as a label of a job may be: letters, digits, - and _, at most 100 of them."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", text)[:100]


def _age(job: Scheduled) -> tuple[datetime, str]:
    return job.created, job.id
