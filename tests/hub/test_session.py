"""A push leaves the caller's process alone, and a Hub that never answers is given up."""

from __future__ import annotations

import logging
import os
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import get_session
from huggingface_hub.utils import _http

from magpie_hub.hub.client import Busy, ask
from tests.hub.pusher import REPO, Pusher, holds
from tests.hub_peer.server import HubPeer

LOGGERS = ("", "httpx2", "httpx", "httpcore2", "huggingface_hub", "hf_xet", "datasets")


def process() -> dict[str, Any]:
    """What a caller's program shares with the client."""
    session = get_session()
    return {
        "session": id(session),
        "factory": _http._GLOBAL_CLIENT_FACTORY,
        "timeout": session.timeout,
        "hooks": {name: list(hooks) for name, hooks in session.event_hooks.items()},
        "headers": dict(session.headers),
        "levels": [logging.getLogger(name).level for name in LOGGERS],
        "handlers": [list(logging.getLogger(name).handlers) for name in LOGGERS],
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
    }


@pytest.mark.parametrize("endpoint", ["repo_info", "preupload", "commit", "tag"])
def test_a_push_changes_nothing_of_it_before_during_and_after(
    endpoint: str, push: Pusher, hub_peer: HubPeer, built: Path, release: Path
) -> None:
    push(release, dry_run=True)  # what libraries do when they are first imported
    before, during = process(), []
    hub_peer.before(endpoint, lambda: during.append(process()))
    assert push(built).state == "published"
    assert during == [before]
    assert process() == before


@pytest.mark.parametrize("endpoint", ["repo_info", "commit", "tag"])
def test_a_request_that_hangs_is_given_up_and_tried_again(
    endpoint: str, push: Pusher, hub_peer: HubPeer, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magpie_hub.hub.client.TIMEOUT", 0.3)
    hub_peer.faults.add(endpoint, "hang", seconds=1.0)
    assert push(built).state == "published"
    assert any("no answer in 0 s; trying again" in line for line in push.said)
    assert len(hub_peer.repo(REPO).commits) == 2, "never twice"
    assert holds(hub_peer, built)


def test_a_transfer_gets_the_time_that_its_bytes_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magpie_hub.hub.client.TIMEOUT", 0.05)
    assert ask("a/b", "sending", lambda: time.sleep(0.15) or 7, size=100_000) == 7
    with pytest.raises(Busy, match="no answer"):
        ask("a/b", "sending", lambda: time.sleep(0.15))
