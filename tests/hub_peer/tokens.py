"""Who may do what: bearer tokens, namespaces, private and gated repositories, keyless CI."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from starlette.responses import Response

from tests.hub_peer.routing import Call, Refusal, Route, ok, route
from tests.hub_peer.store import Repo

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; tests and the log call it `name`; `only` is the one repository it is for."""

    name: str
    text: str
    user: str
    role: str
    only: str | None = None


def new_token(name: str, user: str, role: str, only: str | None = None) -> Token:
    """A token that looks like the Hub's and can be looked for."""
    return Token(name, "hf_" + (name + secrets.token_hex(17))[:34], user, role, only)


def identify(call: Call) -> Token | None:
    """The Hub token of a request; an unknown one is refused."""
    header = call.request.headers.get("authorization", "")
    if not header:
        return None
    for token in call.peer.tokens.values():
        if header == f"Bearer {token.text}":
            return token
    raise Refusal(401, "Invalid credentials in Authorization header")


def signed_in(call: Call) -> Token:
    """The token of a request that needs one."""
    if call.token is None:
        raise Refusal(401, "Invalid username or password.")
    return call.token


def owns(call: Call, namespace: str) -> bool:
    """Whether the caller is that user, or in that organisation."""
    if call.token is None:
        return False
    mine = [call.token.user, *(call.peer.orgs if call.token.user == call.peer.user else ())]
    return namespace in mine


def reader(call: Call) -> Repo:
    """The repository that a request is about, if the caller may know of it."""
    repo = call.peer.store.repos.get((call.kind, call.parts["repo"]))
    if repo is None or (repo.private and not owns(call, repo.namespace)):
        # To a stranger, the Hub does not say whether a repository is private or missing.
        if call.token is None:
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")
        raise Refusal(404, "Repository not found", "RepoNotFound")
    return repo


def content_reader(call: Call) -> Repo:
    """The repository that a request is about, if the caller may read its files."""
    repo = reader(call)
    if repo.gated and not owns(call, repo.namespace):
        message = f"Access to {repo.kind} {repo.id} is restricted."
        raise Refusal(403 if call.token else 401, message, "GatedRepo")
    return repo


def writer(call: Call, pr: bool = False) -> Repo:
    """The repository that a request is about, if the caller may write to it, or open a PR."""
    repo = reader(call)
    token = may_write(call)
    if token.only and token.only != repo.web:
        raise Refusal(403, f"Forbidden: this token is for {token.only} only")
    if not pr and not owns(call, repo.namespace):
        raise Refusal(
            403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request"
        )
    return repo


def may_write(call: Call) -> Token:
    """The token of a request that changes something."""
    token = signed_in(call)
    if token.role != "write":
        raise Refusal(403, "Forbidden: you must use a write token to upload to a repository.")
    return token


def creator(call: Call, namespace: str, what: str) -> Token:
    """The token of a request that makes something new in a namespace."""
    token = may_write(call)
    if token.only or not owns(call, namespace):
        message = f'You don\'t have the rights to create a {what} under the namespace "{namespace}"'
        raise Refusal(403, message)
    return token


def _whoami(call: Call) -> Response:
    token = signed_in(call)
    orgs = call.peer.orgs if token.user == call.peer.user else ()
    return ok(
        {
            "type": "user",
            "id": token.user,
            "name": token.user,
            "fullname": token.user,
            "orgs": [{"type": "org", "name": org, "roleInOrg": "write"} for org in orgs],
            "auth": {
                "type": "access_token",
                "accessToken": {"displayName": token.name, "role": token.role},
            },
        }
    )


def _exchange(call: Call) -> Response:
    asked, peer = call.json(), call.peer
    resource = asked.get("resource")
    if asked.get("grant_type") != _EXCHANGE or asked.get("subject_token") != peer.id_token:
        why = "The id token was not accepted"
        raise Refusal(400, "invalid_grant", error_description=why)
    if resource not in peer.trusted:
        why = f"{resource} has no such trusted publisher"
        raise Refusal(400, "invalid_grant", error_description=why)
    token = new_token("keyless", peer.user, "write", resource)
    peer.tokens["keyless"] = token
    return ok({"access_token": token.text, "token_type": "bearer", "expires_in": 3600})


ROUTES: list[Route] = [
    route("GET", "/api/whoami-v2", "whoami", _whoami),
    route("POST", "/oauth/token", "oauth", _exchange),
]
