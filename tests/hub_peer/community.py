"""Discussions, pull requests and collections."""

from __future__ import annotations

import re
import secrets
from typing import Any

from starlette.responses import JSONResponse, Response

from tests.hub_peer.routing import Call, Refusal, Route, ok, route
from tests.hub_peer.store import Discussion, File, Repo, now
from tests.hub_peer.tokens import creator, owns, reader, writer


def _discussion(call: Call, repo: Repo) -> Discussion:
    num = int(call.parts["num"])
    if not 0 < num <= len(repo.discussions):
        raise Refusal(404, "Discussion not found")
    return repo.discussions[num - 1]


def _event(kind: str, author: str, **data: Any) -> dict[str, Any]:
    event = {"id": secrets.token_hex(12), "type": kind, "createdAt": now()}
    return {**event, "author": {"name": author}, "data": data}


def _comment_event(author: str, text: str) -> dict[str, Any]:
    latest = {"raw": text, "html": text, "updatedAt": now(), "author": {"name": author}}
    return _event("comment", author, edited=False, hidden=False, latest=latest, history=[latest])


def _changes(repo: Repo, base: str, ref: str) -> dict[str, File | None]:
    """The files that differ between two revisions, as the second has them."""
    old, new = repo.find(base), repo.find(ref)
    before, after = (commit.entries if commit else {} for commit in (old, new))
    paths = sorted({*before, *after})
    return {path: after.get(path) for path in paths if before.get(path) != after.get(path)}


def _conflicts(repo: Repo, pull: Discussion) -> list[str]:
    assert pull.base
    theirs, ours = _changes(repo, pull.base, pull.ref), _changes(repo, pull.base, "main")
    return [path for path in theirs if path in ours and theirs[path] != ours[path]]


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


def _open(call: Call) -> Response:
    asked, pull = call.json(), bool(call.json().get("pullRequest"))
    repo = writer(call, pr=True)
    assert call.token
    base = repo.head if pull else None
    discussion = repo.open(asked["title"], call.token.user, base)
    discussion.status = "draft" if pull else "open"
    discussion.events.append(_comment_event(call.token.user, asked.get("description", "")))
    return ok({"num": discussion.num, "pullRequest": pull})


def _details(call: Call) -> Response:
    repo = reader(call)
    each = _discussion(call, repo)
    row = {**_row(repo, each), "events": each.events}
    if each.base:
        changed = _changes(repo, each.base, each.ref)
        row["changes"] = {"base": "main", "mergeCommitId": each.merged_as}
        row["filesWithConflicts"] = [] if each.merged_as else _conflicts(repo, each)
        row["diff"] = "".join(f"diff --git a/{path} b/{path}\n" for path in changed)
    return ok(row)


def _status(call: Call) -> Response:
    repo, asked = writer(call), call.json()
    discussion = _discussion(call, repo)
    assert call.token
    discussion.status = asked["status"]
    event = _event("status-change", call.token.user, status=asked["status"])
    discussion.events.append(event)
    return ok({"newStatus": event})


def _merge(call: Call) -> Response:
    repo = writer(call)
    pull = _discussion(call, repo)
    assert call.token
    if pull.base is None or pull.status != "open":
        raise Refusal(400, f"Only an open pull request can be merged; this is {pull.status}")
    if _conflicts(repo, pull):
        raise Refusal(409, "There are conflicts: " + ", ".join(_conflicts(repo, pull)))
    main = repo.find("main")
    assert main
    entries = {**main.entries, **_changes(repo, pull.base, pull.ref)}
    kept = {path: file for path, file in entries.items() if file}
    pull.status = "merged"
    pull.merged_as = repo.write(
        "main", kept, f"{pull.title} (#{pull.num})", author=call.token.user
    ).oid
    pull.events.append(_event("status-change", call.token.user, status="merged"))
    return ok()


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


def _collections(call: Call) -> Response:
    owner = call.query.get("owner")
    rows = [
        each
        for slug, each in call.peer.collections.items()
        if owner in (None, slug.split("/")[0])
        and (not each["private"] or owns(call, slug.split("/")[0]))
    ]
    # `list_collections` numbers them itself.
    return ok([{key: each[key] for key in each if key != "position"} for each in rows])


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
    route("POST", _TALK, "discussion_create", _open),
    route("GET", _TALK + "/{num}", "discussion", _details),
    route("POST", _TALK + "/{num}/status", "discussion_status", _status),
    route("POST", _TALK + "/{num}/merge", "discussion_merge", _merge),
    route("GET", "/api/collections", "collections", _collections),
    route("POST", "/api/collections", "collection_create", _new_collection),
    route("GET", _SLUG, "collection", _get_collection),
    route("POST", _SLUG + "/items", "collection_item", _add_item),
]
