"""The Hub's client: how it is asked, how often, and what a failure is called.

Every request goes through `ask`: it ends after a while, and whatever `huggingface_hub` raises
becomes one of our errors, in one line without a token. `Retry` asks again while the Hub is busy.

`huggingface_hub` has one HTTP session for the whole process, without a timeout. It belongs to the
caller's program too, so it stays as it is: a request that takes too long is left to its thread.

Tokens come from where `huggingface_hub` looks: HF_TOKEN, the file that `hf auth login` writes, or
an OIDC exchange in CI (HF_OIDC_RESOURCE). Only `schedule` handles one, as the secret of its job.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import copy_context
from importlib.metadata import version
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from magpie_hub.errors import HubError, MagpieError, UserError, one_line
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.names import check_repo_id

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
Say = Callable[[str], None]
"""Is told what is going on, a line each."""
Sleep = Callable[[float], None]
"""Waits so many seconds."""

TIMEOUT = 360.0
"""Seconds after which a request is given up: more than the five minutes for which the Hub's rate
limits count (huggingface.co/docs/hub/rate-limits), since the client waits for their end itself."""

SLOWEST = 50_000
"""Bytes per second of the slowest transfer that is still waited for."""

WORD = 30.0
"""Seconds between two lines about a transfer that goes on."""

ATTEMPTS = 5
"""Times that something is tried before it is given up."""

DATASET = "dataset"

COMMITTING = "publishing"
"""What `ask` is told when a commit is made: only then can the Hub answer that the head moved."""

LOG_IN = (
    "the Hub wants a token that it knows: run hf auth login, or set HF_TOKEN to one with the write "
    "role"
)

_SECRET = re.compile(r"\b(hf_|api_org_|hf_jwt_)\w+|\bey[\w-]{8,}\.[\w-]+\.[\w-]+")
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_BAD_CARD = "Invalid metadata in README.md"
# What the client raises that finds something else than the Hub's JSON; RuntimeError is hf_xet's.
_WRONG_BODY = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError)


class Busy(Exception):
    """The Hub gave no answer, or asks to come again; what was asked for may have been done.

    Attributes:
        wait: Seconds that it asks to wait; None if it does not say.
    """

    def __init__(self, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.wait = wait


class Moved(Exception):
    """The branch has another head than the one that the commit was made for."""


def hub_api() -> HfApi:
    """The client, as the environment sets it up."""
    from huggingface_hub import HfApi

    return HfApi(library_name="magpie-hub", library_version=version("magpie-hub"))


def ask(
    repo_id: str,
    what: str,
    question: Callable[[], T],
    *,
    size: int = 0,
    say: Say | None = None,
) -> T:
    """Asks the Hub once.

    Only calls of the client belong into the question: whatever they make of an answer that is not
    the Hub's (a proxy's page, half a body) can be any exception, and is taken for one.

    Args:
        repo_id: The repository that is asked about, for messages.
        what: What is being done, as in "reading".
        question: The calls. They run in a thread of their own, which is left alone when they take
            too long.
        size: Bytes that are transferred; they get the time that they need at `SLOWEST`.
        say: Told now and then that it goes on.

    Raises:
        UserError: The Hub refuses, and the user has to do something about it.
        Moved: A commit was made for a head that is no longer one; only when `COMMITTING`.
        Busy: It may be tried again.
        HubError: Anything else that the Hub answers.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(question())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            answer.set_exception(error)

    begun, limit = monotonic(), TIMEOUT + size / SLOWEST
    Thread(target=copy_context().run, args=(run,), name="magpie-hub", daemon=True).start()
    while not wait([answer], min(WORD, limit)).done:
        if (seconds := monotonic() - begun) > limit:
            raise Busy(f"{what} {repo_id}: no answer in {limit:.0f} s")
        if say:
            say(f"still {what} {repo_id}, for {seconds:.0f} s now")
    with _our_errors(repo_id, what):
        return answer.result()


@contextmanager
def _our_errors(repo_id: str, what: str) -> Iterator[None]:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        OIDCError,
        RepositoryNotFoundError,
    )

    try:
        yield
    except (MagpieError, Moved, Busy):
        raise
    except HFValidationError as error:
        raise UserError(f"{repo_id}: not a repository's name ({clean(error)})") from None
    except LocalTokenNotFoundError:
        raise UserError(LOG_IN) from None
    except OIDCError as error:
        raise UserError(f"the OIDC token exchange failed: {clean(error)}") from None
    except OfflineModeIsEnabled:
        raise UserError("HF_HUB_OFFLINE is set; unset it to reach the Hub") from None
    except HfHubHTTPError as error:
        status, text = error.response.status_code, clean(error)
        if status == 412 and what == COMMITTING:
            raise Moved(text) from None
        if status == 412 or status in _AGAIN:
            raise Busy(f"{what} {repo_id}: {text}", _wait(error)) from None
        if isinstance(error, GatedRepoError):
            raise UserError(f"{repo_id}: gated; ask for access on its page") from None
        if isinstance(error, RepositoryNotFoundError) and status == 404:
            raise UserError(
                f"{repo_id}: there is no such dataset, or this token may not see it"
            ) from None
        if status == 401:
            raise UserError(LOG_IN) from None
        if status == 402:
            raise UserError(f"{repo_id}: the Hub requires payment first: {text}") from None
        if status == 403:
            raise UserError(
                f"{repo_id}: this token may not do that there ({text}); it needs the write role "
                "in that namespace"
            ) from None
        if status == 400 and "invalid_grant" in text:
            raise UserError(
                f"{repo_id}: the Hub knows no trusted publisher that is this job; compare "
                "repository, workflow and branch with the dataset's settings (Trusted Publishers)"
            ) from None
        if status in (400, 422):
            raise UserError(f"{repo_id}: the Hub refuses it: {text}") from None
        raise HubError(f"{what} {repo_id} failed: {text}") from None
    except (HTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        # LocalEntryNotFoundError: the Hub gave no answer, and the cache lacks the file.
        raise Busy(f"{what} {repo_id}: {clean(error) or type(error).__name__}") from None
    except OSError as error:
        if error.errno is not None:
            raise HubError(
                f"{what} {repo_id}: this machine's disk fails: {clean(error)}; check HF_HOME"
            ) from None
        # The client's answer to a download that is shorter or longer than was said.
        raise Busy(f"{what} {repo_id}: {clean(error)}") from None
    except ValueError as error:
        if str(error).startswith(_BAD_CARD):
            raise UserError(f"{repo_id}: the Hub refuses it: {clean(error)}") from None
        raise _not_the_hubs(repo_id, what, error) from None
    except _WRONG_BODY as error:
        raise _not_the_hubs(repo_id, what, error) from None


def _not_the_hubs(repo_id: str, what: str, error: Exception) -> Busy:
    said = clean(error) or "nothing"
    return Busy(
        f"{what} {repo_id}: the answer is not one of the Hub's ({type(error).__name__}: "
        f"{said[:100]}); a proxy may be in between"
    )


def clean(error: BaseException) -> str:
    """An error's message in one line, without anything like a token; "" if it has none."""
    return one_line(_SECRET.sub("***", str(error)), 500)


def _wait(error: object) -> float | None:
    """Seconds after which a rate limit ends, as its answer says."""
    from huggingface_hub.utils import parse_ratelimit_headers

    headers = error.response.headers  # type: ignore[attr-defined]
    if (limit := parse_ratelimit_headers(headers)) is not None:
        return float(limit.reset_in_seconds) + 1
    after = headers.get("Retry-After", "")
    return float(after) if after.isdigit() else None


class Retry:
    """Asks a busy Hub again, and says in the end what it holds.

    Args:
        repo_id: The repository that is asked about.
        say: Takes a line for every wait.
        sleep: Waits so many seconds.

    Attributes:
        holds: What the repository holds as far as is known; a caller that changes it updates this.
    """

    def __init__(self, repo_id: str, say: Say, sleep: Sleep) -> None:
        self.holds = "what it held before"
        self._repo_id = repo_id
        self._say = say
        self._sleep = sleep

    def ask(self, question: Callable[[], T]) -> T:
        """Asks until there is an answer, `ATTEMPTS` times at most.

        Raises:
            HubError: There is none.
        """
        for attempt in range(ATTEMPTS - 1):
            try:
                return question()
            except Busy as busy:
                self.wait(busy, attempt)
        try:
            return question()
        except Busy as busy:
            raise self.give_up(str(busy)) from None

    def give_up(self, why: str) -> HubError:
        """The error to raise when nothing more is tried."""
        return HubError(f"{why}; {self._repo_id} holds {self.holds}; run again to go on")

    def wait(self, busy: Busy, attempt: int) -> None:
        """Waits as long as the Hub asks, or twice as long as the last time."""
        seconds = 2.0**attempt if busy.wait is None else busy.wait
        self._say(f"{busy}; trying again in {seconds:.0f} s")
        self._sleep(seconds)


def repo_of(api: HfApi, recipe: Recipe, named: str | None) -> str:
    """NAMESPACE/NAME of a recipe's dataset: `named`, the recipe's, or the user's magpie-NAME.

    Raises:
        UserError: The name is none, or there is no token.
        HubError: The Hub does not say whose token it is.
    """
    named = named or recipe.hub.repo_id
    if named:
        try:
            return check_repo_id(named)
        except ValueError as error:
            raise UserError(f"--repo-id: {error}") from None
    name = f"magpie-{recipe.name}"
    try:
        user = ask(name, "asking whose token this is, for", lambda: api.whoami()["name"])
    except Busy as busy:
        raise HubError(f"{busy}; nothing was sent, run again") from None
    return f"{user}/{name}"
