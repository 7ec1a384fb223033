"""The list of pull requests, and collections."""

from __future__ import annotations

import re
import secrets
from typing import Any

from starlette.responses import JSONResponse, Response

from tests.hub_peer.routing import Call, Refusal, Route, ok, route
from tests.hub_peer.store import Discussion, Repo, now
from tests.hub_peer.tokens import creator, owns, reader


def _row(repo: Repo, each: Discussion) -> dict[str, Any]:
    return {
        "num": each.num,
        "title": each.title,
        "author": {"name": each.author},
        "createdAt": each.date,
        "status": each.status,
        "isPullRequest": each.base is not None,
        "repo": {"name": repo.id, "type": repo.kind},
    }


def _list(call: Call) -> Response:
    repo = reader(call)
    rows = [_row(repo, each) for each in repo.discussions]
    return ok({"discussions": rows, "count": len(rows), "start": 0})


def _collection(call: Call) -> dict[str, Any]:
    """The collection that a request is about, if the caller may see it."""
    found = call.peer.collections.get(call.parts["slug"])
    namespace = call.parts["slug"].split("/")[0]
    if found is None or (found["private"] and not owns(call, namespace)):
        raise Refusal(404, "Collection not found")
    return found


def _new_collection(call: Call) -> Response:
    asked = call.json()
    creator(call, asked["namespace"], "collection")
    words = re.sub(r"[^a-z0-9]+", "-", asked["title"].lower()).strip("-")
    for slug, found in call.peer.collections.items():
        if slug.split("/")[0] == asked["namespace"] and found["title"] == asked["title"]:
            return JSONResponse({"error": "Collection already exists", "slug": slug}, 409)
    slug = f"{asked['namespace']}/{words}-{secrets.token_hex(12)}"
    call.peer.collections[slug] = {
        "slug": slug,
        "title": asked["title"],
        "description": asked.get("description"),
        "owner": {"name": asked["namespace"]},
        "items": [],
        "lastUpdated": now(),
        "position": len(call.peer.collections),
        "private": bool(asked.get("private")),
        "theme": "green",
        "upvotes": 0,
    }
    return ok(call.peer.collections[slug])


def _get_collection(call: Call) -> Response:
    return ok(_collection(call))


def _add_item(call: Call) -> Response:
    collection, asked = _collection(call), call.json()
    creator(call, collection["owner"]["name"], "collection")
    item = asked["item"]
    named = (item["type"], item["id"])
    if any((each["type"], each["id"]) == named for each in collection["items"]):
        raise Refusal(409, "This item is already in the collection")
    if item["type"] in {"model", "dataset", "space"}:
        call.parts = {"kind": item["type"] + "s", "repo": item["id"]}
        reader(call)
    row = {"_id": secrets.token_hex(12), **item, "position": len(collection["items"])}
    if "note" in asked:
        row["note"] = {"text": asked["note"], "html": asked["note"]}
    collection["items"].append(row)
    collection["lastUpdated"] = now()
    return ok(collection)


_TALK = "/api/{kind}/{repo}/discussions"
_SLUG = "/api/collections/(?P<slug>[^/]+/[^/]+)"
ROUTES: list[Route] = [
    route("GET", _TALK, "discussions", _list),
    route("POST", "/api/collections", "collection_create", _new_collection),
    route("GET", _SLUG, "collection", _get_collection),
    route("POST", _SLUG + "/items", "collection_item", _add_item),
]
