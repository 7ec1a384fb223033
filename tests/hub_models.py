"""A loopback server that speaks as much of the Hub's protocol as fetching a model takes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class HubModel:
    """A repository: its files by commit, and what the Hub knows of it."""

    commits: dict[str, dict[str, bytes]]
    refs: dict[str, str]
    gated: bool = False
    card: dict[str, Any] = field(default_factory=dict)

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit that a branch, tag or commit means, and its files."""
        commit = self.refs.get(revision, revision)
        return (commit, self.commits[commit]) if commit in self.commits else None


@dataclass
class ModelHub:
    """The server's state: its models, and a log of what was asked."""

    models: dict[str, HubModel]
    endpoint: str = ""
    asked: list[str] = field(default_factory=list)
    broken: bool = False


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a repository, from a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def serve(models: dict[str, HubModel]) -> Iterator[ModelHub]:
    """Runs the server on a free port."""
    hub = ModelHub(models)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: ModelHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.broken:
            return self._refuse(503, "")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self._api("/".join(parts[2:4]), parts[4:])
        if parts[2:3] == ["resolve"] and len(parts) > 4:
            return self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self._refuse(404, "")

    def _api(self, name: str, rest: list[str]) -> None:
        model = self.hub.models.get(name)
        if model is None:
            # To a stranger, the Hub does not say whether a repository is private or missing.
            return self._refuse(401, "RepoNotFound")
        found = model.files(rest[1] if len(rest) > 1 else "main")
        if found is None:
            return self._refuse(404, "RevisionNotFound")
        commit, files = found
        if rest[:1] == ["tree"]:
            tree = [
                {
                    "type": "file",
                    "path": path,
                    "size": len(content),
                    "oid": hashlib.sha1(content).hexdigest(),
                }
                for path, content in files.items()
            ]
            return self._answer(json.dumps(tree).encode(), "application/json")
        info = {
            "_id": "1",
            "id": name,
            "sha": commit,
            "gated": "manual" if model.gated else False,
            "siblings": [
                {"rfilename": path, "size": len(content)} for path, content in files.items()
            ],
            "cardData": model.card,
            "tags": [],
        }
        return self._answer(json.dumps(info).encode(), "application/json")

    def _file(self, name: str, revision: str, path: str) -> None:
        model = self.hub.models.get(name)
        if model is None:
            return self._refuse(401, "RepoNotFound")
        if model.gated:
            return self._refuse(403, "GatedRepo")
        found = model.files(revision)
        if found is None:
            return self._refuse(404, "RevisionNotFound")
        commit, files = found
        if path not in files:
            return self._refuse(404, "EntryNotFound", commit)
        return self._answer(files[path], "application/octet-stream", commit)

    def _answer(self, body: bytes, kind: str, commit: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, commit: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.end_headers()
