"""The Hub's client, and what it says when it fails: one line of ours, with no token in it.

Tokens come from where `huggingface_hub` looks: HF_TOKEN, the file that `hf auth login` writes, or
an OIDC exchange in CI (HF_OIDC_RESOURCE). They are never handled here; `schedule` alone hands one
on, as a secret of the job that it makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from magpie_hub.errors import HubError, MagpieError, UserError, one_line

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TIMEOUT = 120.0
"""Seconds without a byte after which a request is given up; the client itself waits for ever."""

DATASET = "dataset"

COMMITTING = "publishing"
"""What is being done when a commit is made: alone then the Hub may say that its head has moved."""

_SECRET = re.compile(r"\b(hf_|api_org_|hf_jwt_)\w+|\bey[\w-]{8,}\.[\w-]+\.[\w-]+")
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_BAD_CARD = "Invalid metadata in README.md"
# What the client raises that finds something else than the Hub's JSON; RuntimeError is hf_xet's.
_WRONG_BODY = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError)


class Busy(Exception):
    """The Hub did not answer, or asks to come again: what was asked for may have been done.

    Attributes:
        wait: Seconds that it asks to wait; None if it does not say.
    """

    def __init__(self, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.wait = wait


class Moved(Exception):
    """The branch has another head than the one that the commit was made for."""


def connect() -> HfApi:
    """The client, as the environment sets it up."""
    from huggingface_hub import HfApi, get_session

    get_session().timeout = TIMEOUT
    return HfApi(library_name="magpie-hub", library_version=version("magpie-hub"))


@contextmanager
def asking(repo_id: str, what: str) -> Iterator[None]:
    """Turns what the client raises into ours.

    Args:
        repo_id: The repository that is asked about.
        what: What is being done, as in "reading".

    Only calls of the client belong inside: what they make of an answer that is not the Hub's (a
    proxy's page, half a body) can be any exception, and is taken for one here.

    Raises:
        UserError: The Hub refuses, and a person has to do something about it.
        Moved: A commit was made for a head that is no longer one; when `COMMITTING` alone.
        Busy: It may be tried again.
        HubError: Anything else that the Hub answers.
    """
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
            raise UserError(f"{repo_id}: the Hub wants to be paid first: {text}") from None
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
        # LocalEntryNotFoundError: the Hub was not to be asked, and the cache lacks the file.
        raise Busy(f"{what} {repo_id}: {clean(error) or type(error).__name__}") from None
    except OSError as error:
        if error.errno is not None:
            raise HubError(
                f"{what} {repo_id}: this machine's disk fails: {clean(error)}; see to HF_HOME"
            ) from None
        # The client's answer to a download that is shorter or longer than was said.
        raise Busy(f"{what} {repo_id}: {clean(error)}") from None
    except ValueError as error:
        if str(error).startswith(_BAD_CARD):
            raise UserError(f"{repo_id}: the Hub refuses it: {clean(error)}") from None
        raise _not_the_hubs(repo_id, what, error) from None
    except _WRONG_BODY as error:
        raise _not_the_hubs(repo_id, what, error) from None


LOG_IN = (
    "the Hub wants a token that it knows: run hf auth login, or set HF_TOKEN to one with the write "
    "role"
)
"""What a person is told who has no token."""


def _not_the_hubs(repo_id: str, what: str, error: Exception) -> Busy:
    said = clean(error) or "nothing"
    return Busy(
        f"{what} {repo_id}: the answer is not one of the Hub's ({type(error).__name__}: "
        f"{said[:100]}); a proxy may be in between"
    )


def clean(error: BaseException) -> str:
    """What an error says, in one line without anything like a token."""
    words = " ".join(str(error).split())
    return one_line(_SECRET.sub("***", words), 500) if words else ""


def _wait(error: object) -> float | None:
    """Seconds after which a rate limit ends, as its answer says."""
    from huggingface_hub.utils import parse_ratelimit_headers

    headers = error.response.headers  # type: ignore[attr-defined]
    if (limit := parse_ratelimit_headers(headers)) is not None:
        return float(limit.reset_in_seconds) + 1
    after = headers.get("Retry-After", "")
    return float(after) if after.isdigit() else None
