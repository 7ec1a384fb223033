"""Pushes to a peer, and what it holds afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magpie_hub.hub.publish import Published, PublishOptions, publish
from tests.hub_peer.server import HubPeer

REPO = "tester/magpie-toy"


class Pusher:
    """Pushes to a peer, noting what is said and how long is waited."""

    def __init__(self, peer: HubPeer) -> None:
        self.peer = peer
        self.said: list[str] = []
        self.waited: list[float] = []

    def __call__(self, folder: Path, token: str | None = "write", **how: Any) -> Published:
        return publish(
            PublishOptions(folder, how.pop("name", "toy"), **how),
            say=self.said.append,
            api=self.peer.api(token),
            sleep=self.waited.append,
        )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def holds(peer: HubPeer, folder: Path, repo_id: str = REPO, revision: str = "main") -> bool:
    """Whether a repository holds a release, to the byte but for the card's repository name."""
    there, here = peer.repo(repo_id).files(revision), contents(folder)
    there.pop(".gitattributes", None)
    there.pop("README.md", None)
    here.pop("README.md")
    return bool(there == here)


def holds_besides(peer: HubPeer, folder: Path, *others: str) -> bool:
    there = peer.repo(REPO).files()
    for path in (".gitattributes", "README.md", *others):
        assert there.pop(path) is not None
    here = contents(folder)
    here.pop("README.md")
    return bool(there == here)
