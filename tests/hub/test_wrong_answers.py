"""Answers that are not the Hub's, and a Hub that stays away: one line, in bounded time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.pusher import REPO, Pusher, do_not_wait, holds
from tests.hub_peer.faults import PAGES
from tests.hub_peer.server import HubPeer

ASKED = ("create_repo", "preupload", "commit", "tree", "repo_info", "tag", "refs", "xet_token")


@pytest.mark.parametrize("endpoint", ASKED)
@pytest.mark.parametrize("kind", [*PAGES, "412"])
def test_one_answer_of_a_proxy_and_the_push_ends_well_or_in_a_line(
    push: Pusher,
    hub_peer: HubPeer,
    built: Path,
    endpoint: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    do_not_wait(monkeypatch)
    hub_peer.faults.add(endpoint, kind)
    assert push(built).state == "published"
    assert holds(hub_peer, built)
    assert len(hub_peer.repo(REPO).commits) == 2, "never twice"
