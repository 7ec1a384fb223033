"""The verbs of `magpie-hub schedule`: each parses, calls `hub.jobs.schedule`, prints."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from magpie_hub.cli.options import as_json
from magpie_hub.errors import UserError

if TYPE_CHECKING:
    from magpie_hub.hub.jobs.client import Scheduled
    from magpie_hub.hub.jobs.schedule import Schedules

namespace_option = click.option(
    "--namespace", help="The user or organisation that runs and pays for the job; by default you."
)


@click.group()
def schedule() -> None:
    """Regenerate a variant on HF Jobs by a schedule.

    A variant has one schedule per repository. When it is due, the Hub starts a job that runs
    `magpie-hub regenerate --push`.
    """


@schedule.command()
@click.option("--variant", "name", required=True, help="A variant's name or a recipe's path.")
@click.option(
    "--repo-id",
    help="The dataset; by default the recipe's, or magpie-NAME of the token's owner.",
)
@click.option(
    "--cron",
    default="0 3 * * 1",
    show_default=True,
    help="When, in UTC: five fields, or @hourly, @daily, @weekly, @monthly, @yearly.",
)
@click.option(
    "--grow", type=click.IntRange(1), help="Rows that a tick adds; by default the recipe's."
)
@click.option(
    "--state",
    metavar="URL",
    help="URL that keeps unfinished work, as in hf://buckets/NAMESPACE/NAME; by default the "
    "recipe's.",
)
@click.option("--flavor", help="The machine; by default the smallest that holds the generator.")
@click.option(
    "--timeout", default="10h", show_default=True, help="A job that runs longer is stopped."
)
@click.option("--image", help="Docker image with bash, Python and pip; by default vLLM's.")
@click.option(
    "--requirement",
    help="What pip installs in the job: a wheel's URL or git+https://…; by default this version.",
)
@namespace_option
@click.option(
    "--suspended/--active",
    default=None,
    help="Suspend or resume the schedule; by default unchanged, and a new schedule is active.",
)
@click.option(
    "--token-from",
    metavar="VARIABLE",
    help="Environment variable that holds the job's token; by default the job gets your token.",
)
@click.option("--renew", is_flag=True, help="Replace the schedule even if only the token is new.")
@as_json
def create(token_from: str | None, namespace: str | None, as_json: bool, **asked: Any) -> None:
    """Schedule a variant, or change its schedule.

    An equal schedule stays; a different one for the same repository is replaced. The job gets a
    token as its secret HF_TOKEN: make a fine-grained one that may write to this dataset, and may
    read gated models if the generator is one. Your own recipe is stored in the job's environment;
    everyone who can see the namespace's jobs can read it.
    """
    from magpie_hub.hub.jobs.schedule import Schedule

    schedule, token = Schedule(**asked), _token(token_from)
    made = _schedules(namespace).create(schedule, token)
    if as_json:
        click.echo(_json(asdict(made)))
        return
    click.echo(f"{made.state}: {_text(made.schedule)}")
    for schedule_id in made.removed:
        click.echo(f"removed: schedule {schedule_id}")
    if made.state == "unchanged":
        click.echo("its token did not change; --renew stores the current one")


@schedule.command()
@click.option("--variant", "name", help="Only this variant.")
@click.option("--repo-id", help="Only this dataset.")
@namespace_option
@as_json
def show(name: str | None, repo_id: str | None, namespace: str | None, as_json: bool) -> None:
    """Show schedules: the next run, the result of the last run, and the command."""
    found = _schedules(namespace).show(name, repo_id)
    _print(found, as_json)
    if not found:
        click.echo("no schedules", err=True)


@schedule.command()
@click.option("--variant", "name", required=True, help="The variant.")
@click.option("--repo-id", help="Its dataset; needed if the variant has several schedules.")
@namespace_option
@as_json
def remove(name: str, repo_id: str | None, namespace: str | None, as_json: bool) -> None:
    """Remove the schedule of a variant. A running job continues."""
    gone = _schedules(namespace).remove(name, repo_id)
    if as_json:
        _print(gone, as_json)
        return
    for job in gone:
        click.echo(f"removed: {job.name} for {job.repo_id}, schedule {job.id} in {job.namespace}")


def _schedules(namespace: str | None) -> Schedules:
    from magpie_hub.hub.jobs.schedule import Schedules

    return Schedules(namespace, say=partial(click.echo, err=True))


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not (token := os.environ.get(variable, "").strip()):
        # Not shown: it may be the token itself.
        raise UserError("--token-from: give the name of a variable that holds a token")
    return token


def _print(jobs: Iterable[Scheduled], as_json: bool) -> None:
    if as_json:
        click.echo(_json([asdict(job) for job in jobs]))
    else:
        for job in jobs:
            click.echo(_text(job))


def _text(job: Scheduled) -> str:
    lines = [
        f"{job.name} for {job.repo_id}, schedule {job.id} in {job.namespace}",
        f"  when:     {job.cron} (UTC){', suspended' if job.suspended else ''}",
        f"  next run: {_time(job.next_run)}",
    ]
    if run := job.last_run:
        state = " ".join(filter(None, (run.stage, run.message and f"({run.message})")))
        lines.append(f"  last run: {_time(run.at)} {state or 'unknown'}, {run.url}")
    else:
        lines.append("  last run: none yet")
    lines.append(f"  where:    {job.flavor}, {job.image}")
    lines.append(f"  command:  {shlex.join(job.command)}")
    return "\n".join(lines)


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "-"


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, default=datetime.isoformat)
