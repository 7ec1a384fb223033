"""Reading files: metadata from the Hub's host, large content from another one."""

from __future__ import annotations

from starlette.responses import Response

from tests.hub_peer.repos import revision
from tests.hub_peer.routing import Call, Refusal, Route, ranged, route
from tests.hub_peer.tokens import content_reader


def _resolve(call: Call) -> Response:
    repo, path = content_reader(call), call.parts["rest"]
    commit = revision(repo, call.parts["revision"])
    file = commit.entries.get(path)
    if file is None:
        refused = Refusal(404, "Entry not found", "EntryNotFound").response()
        refused.headers["X-Repo-Commit"] = commit.oid
        return refused
    headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{file.oid}"'}
    if file.sha256 is None:
        return ranged(call, file.data, headers)
    # On the Hub's own host the client would follow, and lose the headers of this answer.
    headers["Location"] = f"{call.peer.cdn}/cdn/{file.sha256}"
    headers["X-Linked-Etag"] = f'"{file.sha256}"'
    headers["X-Linked-Size"] = str(len(file.data))
    xet = call.peer.store.xet_hashes.get(file.sha256)
    if xet:
        token = f"{call.peer.endpoint}/api/{repo.kind}s/{repo.id}/xet-read-token/{commit.oid}"
        headers["X-Xet-Hash"] = xet
        headers["Link"] = f'<{token}>; rel="xet-auth"'
    return Response(status_code=302, headers=headers)


def _content(call: Call) -> Response:
    data = call.peer.store.objects.get(call.parts["sha256"])
    if data is None:
        raise Refusal(404, "No such object")
    return ranged(call, data, {"ETag": f'"{call.parts["sha256"]}"'})


ROUTES: list[Route] = [
    route("GET|HEAD", "/{web}{repo}/resolve/{revision}/{rest}", "resolve", _resolve),
    route("GET|HEAD", "/cdn/{sha256}", "cdn", _content),
]
