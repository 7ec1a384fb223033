"""What goes wrong on demand, and what happens just before a request is served."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from starlette.responses import JSONResponse, Response

from tests.hub_peer.routing import Refusal

PAGES = {
    "html": (b"<html><body>Log in to this network</body></html>", "text/html"),
    "list": (b"[1, null]", "application/json"),
    "object": (b'{"error": null}', "application/json"),
    "half": (b'{"files": [{"pa', "application/json"),
    "bytes": (b"\xff\xfe\x00PAR1", "application/octet-stream"),
}
"""Answers with status 200 that are not the Hub's, as a proxy gives them."""
KINDS = ("500", "503", "504", "429", "412", "lost-504", "lost-connection", "hang", *PAGES)
STALE = "A commit has happened since. Please refresh and try again."


@dataclass(slots=True)
class Fault:
    """One trouble, for the next `times` requests of an endpoint after `skip` others."""

    kind: str
    times: int
    skip: int
    seconds: float
    body: bytes = b""

    def instead(self) -> Response | None:
        """The answer in place of the work, if the trouble comes first."""
        if self.kind == "429":
            headers = {"RateLimit": '"api";r=0;t=1'}
            return JSONResponse({"error": "Too Many Requests"}, 429, headers)
        if self.kind in PAGES:
            return Response(PAGES[self.kind][0], 200, media_type=PAGES[self.kind][1])
        if self.kind == "412":
            return Refusal(412, STALE).response()
        return self.failure() if self.kind.isdigit() else None

    def other(self, response: Response) -> Response:
        """An answer with other bytes in it, under the headers that it had."""
        response.body = self.body
        response.headers["content-length"] = str(len(self.body))
        return response

    def failure(self) -> Response:
        return Refusal(int(self.kind[-3:]), "Trouble on our side").response()


@dataclass(slots=True)
class Faults:
    """The troubles that are to come, endpoint by endpoint, in the order they were added.

    - "500", "503", "504", "429", "412": answered instead of doing the work.
    - the names of `PAGES`: 200 and a body that is not the Hub's, instead of doing the work.
    - "lost-504", "lost-connection": the work is done, and the client is told 504 or nothing.
    - "hang": the work is done at once and answered `seconds` later.
    """

    endpoints: Collection[str]
    _coming: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    _hooks: dict[str, list[Callable[[], object]]] = field(default_factory=lambda: defaultdict(list))

    def add(
        self, endpoint: str, kind: str, times: int = 1, skip: int = 0, seconds: float = 1.0
    ) -> None:
        """Adds a trouble: the next `skip` requests pass, the `times` after them do not."""
        self._check(endpoint)
        if kind not in KINDS:
            raise ValueError(f"no such fault on {endpoint}: {kind}")
        self._coming[endpoint].append(Fault(kind, times, skip, seconds))

    def serve(self, endpoint: str, body: bytes, times: int = 1) -> None:
        """Has the next `times` answers hold these bytes, under the headers that they have."""
        self._check(endpoint)
        self._coming[endpoint].append(Fault("body", times, 0, 0.0, body))

    def clear(self) -> None:
        """Forgets all troubles that have not come yet."""
        self._coming.clear()

    def before(self, endpoint: str, hook: Callable[[], object]) -> None:
        """Calls `hook` once, before the next request of an endpoint is served."""
        self._check(endpoint)
        self._hooks[endpoint].append(hook)

    def hooks(self, endpoint: str) -> list[Callable[[], object]]:
        """The hooks to call now; they are forgotten."""
        return self._hooks.pop(endpoint, [])

    def take(self, endpoint: str) -> Fault | None:
        """The trouble of this request, if it has one."""
        queue = self._coming.get(endpoint)
        if not queue:
            return None
        fault = queue[0]
        if fault.skip:
            fault.skip -= 1
            return None
        fault.times -= 1
        if fault.times <= 0:
            queue.pop(0)
        return fault

    def _check(self, endpoint: str) -> None:
        if endpoint not in self.endpoints:
            known = ", ".join(sorted(self.endpoints))
            raise ValueError(f"no endpoint {endpoint}; there are {known}")
