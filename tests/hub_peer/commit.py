"""Uploading: which files go where, and the commit itself."""

from __future__ import annotations

import base64
import json
from typing import Any

from starlette.responses import Response

from tests.hub_peer import card
from tests.hub_peer.faults import STALE
from tests.hub_peer.repos import revision
from tests.hub_peer.routing import Call, Refusal, Route, ok, route
from tests.hub_peer.store import File, goes_to_lfs
from tests.hub_peer.tokens import writer


def _preupload(call: Call) -> Response:
    repo = writer(call, call.pr)
    entries = revision(repo, call.parts["revision"]).entries
    attributes = entries[".gitattributes"].data if ".gitattributes" in entries else b""
    rows = []
    for file in call.json()["files"]:
        sample = base64.b64decode(file["sample"])
        large = goes_to_lfs(file["path"], file["size"], sample, attributes)
        there = entries.get(file["path"])
        row = {
            "path": file["path"],
            "uploadMode": "lfs" if large else "regular",
            "shouldIgnore": False,
        }
        # A file that did not change is named, so that the client can leave it out.
        if there and large == bool(there.sha256):
            row["oid"] = there.sha256 or there.oid
        rows.append(row)
    return ok({"files": rows})


def _commit(call: Call) -> Response:
    create_pr = call.flag("create_pr")
    repo = writer(call, call.pr)
    assert call.token
    branch = call.parts["revision"]
    head = revision(repo, branch)
    (header, *changes) = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    header = header["value"]
    parent = header.get("parentCommit")
    if create_pr:
        head = revision(repo, parent) if parent else head
    elif branch not in repo.branches:
        raise Refusal(400, f"{branch} is not a branch")
    elif parent and parent != head.oid:
        raise Refusal(412, STALE)
    entries = dict(head.entries)
    for change in changes:
        _apply(call, entries, change["key"], change["value"])
    if entries.get("README.md") != head.entries.get("README.md") and "README.md" in entries:
        wrong = card.problems(entries["README.md"].data.decode(errors="replace"))
        if wrong:
            raise Refusal(400, "Invalid metadata in README.md: " + "; ".join(wrong))
    title, message, author = header["summary"], header.get("description", ""), call.token.user
    answer = {"success": True, "hookOutput": ""}
    if create_pr:
        pull = repo.open(title, author, head.oid)
        branch = pull.ref
        answer["pullRequestUrl"] = f"{call.peer.endpoint}/{repo.web}/discussions/{pull.num}"
    commit = repo.write(branch, entries, title, message, author, head.oid)
    answer["commitOid"] = commit.oid
    answer["commitUrl"] = f"{call.peer.endpoint}/{repo.web}/commit/{commit.oid}"
    return ok(answer)


def _apply(call: Call, entries: dict[str, File], key: str, value: dict[str, Any]) -> None:
    path = value["path"]
    if key == "file":
        entries[path] = File.regular(base64.b64decode(value["content"]))
    elif key == "lfsFile":
        data = call.peer.store.objects.get(value["oid"])
        if data is None or value.get("size", len(data)) != len(data):
            raise Refusal(
                400,
                "Your push was rejected because an LFS pointer pointed to a file that does not "
                f"exist. Offending file: {path}",
            )
        entries[path] = File.large(data)
    elif key == "deletedFile":
        if entries.pop(path, None) is None:
            raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
    elif key == "deletedFolder":
        inside = [each for each in entries if each.startswith(path.rstrip("/") + "/")]
        if not inside:
            raise Refusal(404, "A folder with this name doesn't exist", "EntryNotFound")
        for each in inside:
            del entries[each]
    else:
        raise Refusal(400, f"Unknown operation: {key}")


ROUTES: list[Route] = [
    route("POST", "/api/{kind}/{repo}/preupload/{revision}", "preupload", _preupload),
    route("POST", "/api/{kind}/{repo}/commit/{revision}", "commit", _commit),
]
