"""Schedules: HF scheduled jobs that regenerate variants, one for a variant and repository.

A schedule is replaced, not changed: the new one is made first and the older ones are removed then,
so that a failure in between never leaves none. Two at a time do no harm but cost, since a tick is
published once; the next call removes the older.

The job's token is a secret of the job: the Hub keeps it encrypted, gives it to the job as HF_TOKEN
and shows only its name. Whether it is still the right one cannot be seen, so `renew` replaces it.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from magpie_hub.errors import UserError
from magpie_hub.hub.client import Retry, Say, Sleep, hub_api
from magpie_hub.hub.jobs.client import Jobs, Scheduled
from magpie_hub.hub.jobs.command import (
    IMAGE,
    RECIPE_VARIABLE,
    default_requirement,
    job_command,
    packed_recipe,
)
from magpie_hub.hub.jobs.hardware import choose_flavor, list_flavors
from magpie_hub.hub.jobs.token import caller, find_token
from magpie_hub.hub.tree import read_tree
from magpie_hub.models.source import is_remote
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.load import load_recipe
from magpie_hub.recipe.variants import find_recipe, variant_names
from magpie_hub.text import command

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CRON_NAMES = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually")
"""Names in place of a cron expression (huggingface.co/docs/hub/jobs-schedule)."""

_TIMEOUT = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is asked for.

    Attributes:
        name: A variant's name, or the path of the user's recipe.
        repo_id: NAMESPACE/NAME of its dataset; None for the recipe's, or magpie-NAME of the
            owner of the job's token.
        cron: When, in UTC: five fields, or one of `CRON_NAMES`.
        grow: Rows that a tick adds; None for the recipe's.
        state: URL where what must survive a job is kept; None for the recipe's.
        flavor: The machine; None for the smallest that holds the generator.
        timeout: After how long a tick is ended: a number and s, m, h or d.
        image: Docker image with bash, Python and pip; None for vLLM's own.
        requirement: What pip installs there; None for this version of the package.
        suspended: Whether it waits to be resumed; None leaves that as it is.
        renew: Replace it even if nothing but the token would be new.
    """

    name: str
    repo_id: str | None = None
    cron: str = "0 3 * * 1"
    grow: int | None = None
    state: str | None = None
    flavor: str | None = None
    timeout: str = "10h"
    image: str | None = None
    requirement: str | None = None
    suspended: bool | None = None
    renew: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What came of making a schedule.

    Attributes:
        state: "created", "unchanged" or "replaced".
        schedule: The schedule as it is now.
        removed: Ids of those that it took the place of.
    """

    state: Literal["created", "unchanged", "replaced"]
    schedule: Scheduled
    removed: tuple[str, ...] = ()


class Schedules:
    """The schedules of one namespace.

    Every method raises a `UserError` where something is refused and nothing was changed, and a
    `HubError` where the Hub failed, which says what it holds.

    Args:
        namespace: Whose jobs, and who pays; None for the caller.
        say: Takes lines for the user.
        api: The Hub's client; the environment's by default.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        say: Say = lambda text: None,
        api: HfApi | None = None,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._namespace = namespace
        self._say = say
        self._api = api or hub_api()
        self._sleep = sleep
        self._retry = Retry("the Hub", say, sleep)

    @cached_property
    def _jobs(self) -> Jobs:
        namespace = self._namespace or self._retry.ask(lambda: caller(self._api))
        return Jobs(self._api, namespace, Retry(namespace, self._say, self._sleep))

    def create(self, schedule: Schedule, token: str | None = None) -> Made:
        """Makes a schedule, unless it is there; one with another content is replaced.

        Args:
            schedule: What is asked for.
            token: What the job is given as HF_TOKEN; the client's own by default.
        """
        api, ask = self._api, self._retry.ask
        recipe, packed = _recipe(schedule.name)
        cron, seconds = _cron(schedule.cron), _seconds(schedule.timeout)
        requirement = schedule.requirement or default_requirement()
        job_token = ask(lambda: find_token(api, token))
        repo_id = (
            schedule.repo_id or recipe.hub.repo_id or f"{job_token.owner}/magpie-{recipe.name}"
        )
        command = job_command(
            recipe.name,
            repo_id,
            requirement=requirement,
            grow=schedule.grow,
            state=schedule.state,
            own=packed is not None,
        )
        flavor = choose_flavor(recipe, ask(lambda: list_flavors(api)), schedule.flavor).name
        client = _client_of(api, job_token.token)
        ask(lambda: _check_release(client, repo_id, recipe, schedule.name))

        image = schedule.image or IMAGE
        asked = (cron, image, command, flavor, seconds, *([packed] if packed else ()))
        content = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
        mark = f"{recipe.name}@{repo_id}"
        there = self._jobs.find(mark)
        newest = there[-1] if there else None
        suspended = schedule.suspended
        if newest and not schedule.renew and _is_as_asked(newest, content, cron, suspended):
            return Made("unchanged", newest, self._remove_older(there))
        if suspended is None:
            suspended = newest is not None and newest.suspended
        there = self._jobs.make(
            mark,
            content,
            {
                "schedule": cron,
                "image": image,
                "command": command,
                "flavor": flavor,
                "timeout": seconds,
                "suspend": suspended,
                "secrets": {"HF_TOKEN": job_token.token},
                "env": {RECIPE_VARIABLE: packed} if packed else {},
            },
            there,
        )
        if there[-1].content != content:
            self._say("another caller made a different schedule at the same time; that one is kept")
        return Made("replaced" if newest else "created", there[-1], self._remove_older(there))

    def _remove_older(self, there: list[Scheduled]) -> tuple[str, ...]:
        beside = f"the schedule {there[-1].id}, and as a leftover beside it "
        return self._jobs.remove(there[:-1], beside)

    def show(self, name: str | None = None, repo_id: str | None = None) -> tuple[Scheduled, ...]:
        """The schedules with their last runs.

        Args:
            name: Only those of this variant.
            repo_id: Only those of this dataset.
        """
        return tuple(
            replace(job, last_run=self._jobs.last_run(job)) for job in self._find(name, repo_id)
        )

    def remove(self, name: str, repo_id: str | None = None) -> tuple[Scheduled, ...]:
        """Removes the schedule of a variant and repository; a job that is running goes on.

        Args:
            name: The variant.
            repo_id: The dataset; None if the variant has a schedule for one only.

        Returns:
            What was removed: more than one, if an earlier replacement was not finished.
        """
        found = self._find(name, repo_id)
        if len(repos := sorted({job.repo_id for job in found})) > 1:
            raise UserError(
                f"{name}: there are schedules for {', '.join(repos)}; name one (--repo-id)"
            )
        self._jobs.remove(found)
        return tuple(found)

    def _find(self, name: str | None, repo_id: str | None) -> list[Scheduled]:
        if name is not None and name.endswith((".yaml", ".yml")):
            name = load_recipe(find_recipe(name)).name
        every = self._jobs.find()
        found = [
            job for job in every if name in (None, job.name) and repo_id in (None, job.repo_id)
        ]
        if not found and (name or repo_id):
            asked = " for ".join(filter(None, (name, repo_id)))
            there = ", ".join(sorted({f"{job.name} for {job.repo_id}" for job in every}))
            raise UserError(
                f"{asked}: no such schedule in {self._jobs.namespace}; there is {there or 'none'}"
            )
        return found


def _is_as_asked(job: Scheduled, content: str, cron: str, suspended: bool | None) -> bool:
    """Whether a schedule is what is asked for."""
    # Its time, and whether it is suspended, may have been changed on the Hub's pages since.
    return job.content == content and job.cron == cron and suspended in (None, job.suspended)


def _recipe(name: str) -> tuple[Recipe, str | None]:
    """A recipe, and how a job gets it; None for a shipped variant, which it has.

    Raises:
        UserError: There is none, or a job cannot run it.
    """
    path = find_recipe(name)
    recipe = load_recipe(path)
    if name in variant_names():
        return recipe, None
    if not (is_remote(recipe.model) and re.fullmatch(r"\w[\w.-]*/[\w.-]+", recipe.model)):
        raise UserError(
            f"{name}: a job does not see this machine's files, and its generator is "
            f"{recipe.model}; name a model of the Hub"
        )
    return recipe, packed_recipe(path)


def _client_of(api: HfApi, token: str) -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(
        endpoint=api.endpoint,
        token=token,
        library_name=api.library_name,
        library_version=api.library_version,
    )


def _check_release(api: HfApi, repo_id: str, recipe: Recipe, named: str) -> None:
    """Makes sure that there is a release for a tick to go on from."""
    if repo_id.count("/") != 1:
        raise UserError(f"{repo_id}: a dataset's name is NAMESPACE/NAME")
    tree = read_tree(api, repo_id)
    manifest = tree.manifest() if tree is not None else None
    if manifest is None or manifest.get("name") != recipe.name:
        raise UserError(
            f"{repo_id}: the job's token sees no release of {recipe.name} there to go on from; "
            f"publish one first ({command('push', '--variant', named)}), or name its "
            "repository (--repo-id)"
        )


def _cron(text: str) -> str:
    """When, with single spaces; the Hub checks what the fields hold."""
    words = text.split()
    named = len(words) == 1 and words[0] in CRON_NAMES
    if not named and (len(words) != 5 or text.lstrip().startswith("@")):
        raise UserError(
            f"--cron {text}: five fields are needed (minute, hour, day of month, month, day of "
            f"week; in UTC), such as '0 3 * * 1', or one of {', '.join(CRON_NAMES)}"
        )
    return " ".join(words)


def _seconds(text: str) -> int:
    """Seconds of a timeout."""
    found = _TIMEOUT.fullmatch(text.strip())
    seconds = int(float(found[1]) * _SECONDS[found[2]]) if found else 0
    if not seconds:
        raise UserError(f"--timeout {text}: a number and s, m, h or d is needed, such as 10h")
    return seconds
