"""The token that a job is given: whose it is, and whether it can publish for long enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from magpie_hub.errors import UserError
from magpie_hub.hub.client import LOG_IN, ask

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Of a trusted publisher in CI, and of a login in the browser.
_SHORT_LIVED = ("hf_jwt_", "hf_oauth_")


@dataclass(frozen=True, slots=True)
class JobToken:
    """A token of the Hub.

    Attributes:
        token: The token; no text of this object shows it.
        owner: Whose it is.
    """

    token: str = field(repr=False)
    owner: str


def find_token(api: HfApi, token: str | None = None) -> JobToken:
    """Checks the token that a job is to be given.

    Args:
        api: The Hub's client.
        token: The token; the client's own by default.

    Raises:
        UserError: There is none, the Hub does not know it, it may not write, or it ends within
            hours.
        Busy, HubError: See `ask`.
    """
    token = token or _own(api)
    if token.startswith(_SHORT_LIVED):
        raise UserError(
            "the token of this login expires soon, and a schedule goes on: create one on "
            "https://huggingface.co/settings/tokens, and name the variable that holds it "
            "(--token-from)"
        )
    owner, role = _whoami(api, token)
    if role == "read":
        raise UserError(
            "the job's token is read-only, but a tick publishes: give it one with the write role, "
            "or a fine-grained one that may write to the dataset (--token-from)"
        )
    return JobToken(token, owner)


def caller(api: HfApi) -> str:
    """Name of the user whose token the client has.

    Raises:
        UserError: The Hub knows no such token, or there is none.
        Busy, HubError: See `ask`.
    """
    return _whoami(api, _own(api))[0]


def _own(api: HfApi) -> str:
    from huggingface_hub import get_token

    token = api.token
    if token is None or token is True:
        token = ask("the Hub", "asking", get_token)
    if not token:
        raise UserError(LOG_IN)
    return str(token)


def _whoami(api: HfApi, token: str) -> tuple[str, str | None]:
    """Whose token it is, and its role; None for a fine-grained one."""

    def read() -> tuple[str, str | None]:
        who = api.whoami(token=token, cache=True)
        return str(who["name"]), (who.get("auth", {}).get("accessToken") or {}).get("role")

    return ask("the Hub", "asking", read)
