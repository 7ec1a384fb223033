"""Fixtures to import in a conftest: `hub_peer`, `no_waits`, and `transfer` (Xet and LFS)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hub_peer.server import HubPeer


@pytest.fixture
def hub_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubPeer]:
    """A running peer; clients in this process are online, with caches of the test's own."""
    pytest.importorskip("lz4")
    pytest.importorskip("uvicorn")
    from huggingface_hub import constants
    from huggingface_hub.utils import _xet

    from tests.hub_peer.server import HubPeer

    home = tmp_path / "hf"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    # hf_xet reads its cache's place from the environment when a session begins; one process has one
    # session, which would remember what another test sent.
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_XET_CACHE", str(home / "xet"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())
    with HubPeer() as peer:
        yield peer
    assert not peer.bugs, "\n".join(peer.bugs)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares tests the client's own waits before it asks again."""
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None, time=time.time))


@pytest.fixture(params=["xet", "lfs"])
def transfer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test twice: with large files through Xet, and through LFS.

    Name it after `hub_peer` in a test's arguments.
    """
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", request.param == "lfs")
    return str(request.param)
