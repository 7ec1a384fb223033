"""Pushes to a peer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magpie_hub.hub import Published, Push, publish
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
            Push(folder, how.pop("name", "toy"), **how),
            say=self.said.append,
            api=self.peer.api(token),
            sleep=self.waited.append,
        )
