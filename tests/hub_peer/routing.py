"""How a request finds its handler, and what handlers take and return.

Routes match the path as it was sent: in `refs%2Fpr%2F1` the slashes are part of a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from tests.hub_peer.server import HubPeer
    from tests.hub_peer.tokens import Token


class Refusal(Exception):
    """An answer that is an error, as the Hub words it: in headers and in the body."""

    def __init__(self, status: int, message: str, code: str = "", **body: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body

    def response(self) -> Response:
        plain = self.message.encode("ascii", "replace").decode()
        headers = {"X-Error-Message": " ".join(plain.split())}
        if self.code:
            headers["X-Error-Code"] = self.code
        return JSONResponse({"error": self.message, **self.body}, self.status, headers)


@dataclass(slots=True)
class Call:
    """One request: `parts` are the named parts of its path, decoded."""

    peer: HubPeer
    request: Request
    body: bytes
    parts: Mapping[str, str]
    token: Token | None

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    @property
    def kind(self) -> str:
        """model, dataset or space."""
        plural = self.parts.get("kind") or self.parts.get("web") or "models/"
        return plural.rstrip("/").removesuffix("s")

    def json(self) -> dict[str, Any]:
        return json.loads(self.body) if self.body else {}

    @property
    def pr(self) -> bool:
        """Whether the request is about a pull request, to be made or made already."""
        return self.flag("create_pr") or self.parts["revision"].startswith("refs/pr/")

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in {"1", "true"}


Handler = Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path's pattern; `endpoint` is its name in faults, hooks and the log."""

    method: str
    pattern: re.Pattern[str]
    endpoint: str
    handler: Handler

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The named parts of a path, or None if the route is not meant."""
        found = self.pattern.fullmatch(path) if method in self.method.split("|") else None
        return found and {key: unquote(text or "") for key, text in found.groupdict().items()}


_PARTS = {
    "kind": "models|datasets|spaces",
    "web": "datasets/|spaces/|",
    "repo": "[^/]+/[^/]+?",
    "rest": ".*",
}


def route(method: str, path: str, endpoint: str, handler: Handler) -> Route:
    """A route; `{name}` in the path is one of its parts."""
    pattern = re.sub(r"{(\w+)}", lambda m: f"(?P<{m[1]}>{_PARTS.get(m[1], '[^/]+')})", path)
    return Route(method, re.compile(pattern), endpoint, handler)


def ok(body: Any = None, **headers: str) -> Response:
    """A JSON answer."""
    return JSONResponse({} if body is None else body, headers=headers)


def page(call: Call, rows: list[Any], size: int) -> Response:
    """One page of a list, with a link to the next one."""
    begin = int(call.query.get("cursor", 0))
    headers = {}
    if begin + size < len(rows):
        query = {**call.query, "cursor": str(begin + size)}
        words = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
        path = call.request.scope["raw_path"].decode()
        headers["Link"] = f'<{call.peer.endpoint}{path}?{words}>; rel="next"'
    return ok(rows[begin : begin + size], **headers)


def ranged(call: Call, data: bytes, headers: dict[str, str] | None = None) -> Response:
    """Bytes, or the part of them that a Range header asks for."""
    headers = {"Accept-Ranges": "bytes", **(headers or {})}
    span = byte_range(call, len(data))
    if span is None:
        return Response(data, 200, headers, "application/octet-stream")
    begin, end = span
    headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
    return Response(data[begin:end], 206, headers, "application/octet-stream")


def byte_range(call: Call, size: int) -> tuple[int, int] | None:
    """The first byte, and the one after the last, that a Range header asks for, if there is one."""
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", call.request.headers.get("range", ""))
    if not asked or asked[0] == "bytes=-":
        return None
    if not asked[1]:
        return max(0, size - int(asked[2])), size
    if int(asked[1]) >= size:
        raise Refusal(416, "Range not satisfiable")
    return int(asked[1]), min(size, int(asked[2]) + 1 if asked[2] else size)
