"""Repositories: made, described, listed; their branches, tags and commits."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response

from tests.hub_peer import card
from tests.hub_peer.routing import Call, Refusal, Route, ok, page, route
from tests.hub_peer.store import Commit, File, Repo
from tests.hub_peer.tokens import creator, reader, writer


def revision(repo: Repo, name: str) -> Commit:
    """The commit that a revision means, or the Hub's 404."""
    commit = repo.find(name)
    if commit is None:
        raise Refusal(404, f"Invalid rev id: {name}", "RevisionNotFound")
    return commit


def _named(call: Call) -> str:
    asked = call.json()
    return f"{asked.get('organization') or call.peer.user}/{asked['name']}"


def _create(call: Call) -> Response:
    asked, name = call.json(), _named(call)
    kind = asked.get("type", "model")
    creator(call, name.split("/")[0], kind)
    repo = call.peer.store.repos.get((kind, name))
    if repo:
        url = f"{call.peer.endpoint}/{repo.web}"
        message = f"You already created this {kind} repo"
        return JSONResponse({"error": message, "url": url}, 409, {"X-Error-Message": message})
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    repo = call.peer.store.create(name, kind, private)
    return ok({"url": f"{call.peer.endpoint}/{repo.web}", "name": name, "id": name})


def _delete(call: Call) -> Response:
    kind = call.json().get("type", "model")
    call.parts = {"kind": f"{kind}s", "repo": _named(call)}
    repo = writer(call)
    del call.peer.store.repos[kind, repo.id]
    return ok()


def _info(call: Call) -> Response:
    repo = reader(call)
    commit = revision(repo, call.parts.get("revision") or "main")
    readme = commit.entries.get("README.md")
    data = card.metadata(readme.data.decode(errors="replace")) if readme else {}
    siblings = [
        {"rfilename": path, **(_blob(file) if call.flag("blobs") else {})}
        for path, file in commit.entries.items()
    ]
    return ok(
        {
            "_id": commit.oid[:24],
            "id": repo.id,
            "author": repo.namespace,
            "sha": commit.oid,
            "private": repo.private,
            "gated": repo.gated,
            "disabled": False,
            "lastModified": commit.date,
            "createdAt": repo.created,
            "downloads": 0,
            "likes": 0,
            "tags": list(_tags(data)),
            "cardData": data,
            "siblings": siblings,
        }
    )


def _blob(file: File) -> dict[str, Any]:
    blob: dict[str, Any] = {"size": len(file.data), "blobId": file.oid}
    if file.sha256:
        blob["lfs"] = {
            "sha256": file.sha256,
            "size": len(file.data),
            "pointerSize": file.pointer_size,
        }
    return blob


def _tags(data: dict[str, Any]) -> Iterable[str]:
    for key in ("license", "language", "task_categories", "size_categories"):
        value = data.get(key) or []
        yield from (f"{key}:{each}" for each in (value if isinstance(value, list) else [value]))
    yield from data.get("tags") or []


def _entry(call: Call, commit: Commit, path: str, repo: Repo | None) -> dict[str, Any] | None:
    """A file, or a folder, as trees and paths-info name it; with its last commit in `repo`."""
    file = commit.entries.get(path)
    if file is None:
        if not any(each.startswith(f"{path}/") for each in commit.entries):
            return None
        oid = File.regular(path.encode()).oid
        row: dict[str, Any] = {"type": "directory", "oid": oid, "size": 0, "path": path}
    else:
        row = {"type": "file", "oid": file.oid, "size": len(file.data), "path": path}
        if file.sha256:
            size = len(file.data)
            row["lfs"] = {"oid": file.sha256, "size": size, "pointerSize": file.pointer_size}
            if file.sha256 in call.peer.store.xet_hashes:
                row["xetHash"] = call.peer.store.xet_hashes[file.sha256]
    if repo:
        last = _last_change(repo, commit, path)
        row["lastCommit"] = {"id": last.oid, "title": last.title, "date": last.date}
    return row


def _last_change(repo: Repo, commit: Commit, path: str) -> Commit:
    def below(commit: Commit) -> dict[str, File]:
        return {k: v for k, v in commit.entries.items() if k == path or k.startswith(f"{path}/")}

    history = repo.history(commit.oid)
    return next((new for new, old in pairwise(history) if below(new) != below(old)), history[-1])


def _tree(call: Call) -> Response:
    repo = reader(call)
    commit, expand = revision(repo, call.parts["revision"]), call.flag("expand")
    folder = call.parts.get("rest", "").strip("/")
    prefix = f"{folder}/" if folder else ""
    paths: set[str] = set()
    for path in commit.entries:
        if path.startswith(prefix):
            steps = path.removeprefix(prefix).split("/")
            depth = len(steps) if call.flag("recursive") else 1
            paths |= {prefix + "/".join(steps[: i + 1]) for i in range(depth)}
    if folder and not paths:
        raise Refusal(404, f"{folder} does not exist on {call.parts['revision']}", "EntryNotFound")
    rows = [_entry(call, commit, path, repo if expand else None) for path in sorted(paths)]
    return page(call, rows, min(call.peer.page_size, 50) if expand else call.peer.page_size)


def _paths_info(call: Call) -> Response:
    repo = reader(call)
    commit = revision(repo, call.parts["revision"])
    form = parse_qs(call.body.decode())
    within = repo if form.get("expand", ["false"])[0].lower() == "true" else None
    paths = [path.rstrip("/") for path in form.get("paths", [])]
    return ok([row for path in paths if (row := _entry(call, commit, path, within))])


def _refs(call: Call) -> Response:
    repo = reader(call)
    pulls = {name: oid for name, oid in repo.branches.items() if name.startswith("refs/pr/")}
    heads = {name: oid for name, oid in repo.branches.items() if name not in pulls}

    def named(refs: dict[str, str], prefix: str) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": prefix + name, "targetCommit": oid} for name, oid in refs.items()
        ]

    answer = {
        "branches": named(heads, "refs/heads/"),
        "tags": named(repo.tags, "refs/tags/"),
        "converts": [],
    }
    if call.flag("include_prs"):
        answer["pullRequests"] = [
            {**row, "name": row["name"].removeprefix("refs/pr/")} for row in named(pulls, "")
        ]
    return ok(answer)


def _tag(call: Call) -> Response:
    repo, name = writer(call), call.json()["tag"]
    commit = revision(repo, call.parts["revision"])
    if name in repo.tags:
        raise Refusal(409, f"Tag reference exists already: refs/tags/{name}")
    repo.tags[name] = commit.oid
    return ok()


def _commits(call: Call) -> Response:
    repo = reader(call)
    revision(repo, call.parts["revision"])
    rows = [
        {
            "id": commit.oid,
            "title": commit.title,
            "message": commit.message,
            "date": commit.date,
            "authors": [{"user": commit.author}],
        }
        for commit in repo.history(call.parts["revision"])
    ]
    return page(call, rows, call.peer.page_size)


_REPO = "/api/{kind}/{repo}"
ROUTES: list[Route] = [
    route("POST", "/api/repos/create", "create_repo", _create),
    route("DELETE", "/api/repos/delete", "delete_repo", _delete),
    route("GET", _REPO, "repo_info", _info),
    route("GET", _REPO + "/revision/{revision}", "repo_info", _info),
    route("GET", _REPO + "/tree/{revision}", "tree", _tree),
    route("GET", _REPO + "/tree/{revision}/{rest}", "tree", _tree),
    route("POST", _REPO + "/paths-info/{revision}", "paths_info", _paths_info),
    route("GET", _REPO + "/refs", "refs", _refs),
    route("POST", _REPO + "/tag/{revision}", "tag", _tag),
    route("GET", _REPO + "/commits/{revision}", "commits", _commits),
]
