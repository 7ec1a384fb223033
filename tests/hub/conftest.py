"""A release to push, and the Hub to push it to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from magpie_hub.release.folder import write_release
from tests.hub.pusher import Pusher
from tests.hub_peer.fixtures import hub_peer, no_waits, transfer  # noqa: F401
from tests.hub_peer.server import HubPeer
from tests.toy_release import toy_job


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of 30 rows."""
    home = tmp_path_factory.mktemp("toy")
    return write_release(toy_job(home / "home"), home / "toy").path


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the same recipe with 40 rows."""
    home = tmp_path_factory.mktemp("grown")
    return write_release(toy_job(home / "home", rows=40), home / "toy").path


@pytest.fixture
def release(built: Path, tmp_path: Path) -> Path:
    """A copy of the release that a test may spoil."""
    return Path(shutil.copytree(built, tmp_path / "toy"))


@pytest.fixture
def push(hub_peer: HubPeer) -> Pusher:  # noqa: F811
    return Pusher(hub_peer)
