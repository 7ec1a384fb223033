"""Pushing to a Hub that fails, moves or is pushed to by two: one commit or none."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from magpie_hub.errors import HubError
from tests.hub.pusher import REPO, Pusher, holds, holds_besides
from tests.hub_peer.faults import PAGES
from tests.hub_peer.server import HubPeer

ENDPOINTS = ("create_repo", "preupload", "commit", "tree", "repo_info", "tag", "refs")
FAULTS = [
    *[(name, kind) for name in ENDPOINTS for kind in ("503", "lost-504", "lost-connection", "429")],
    *[(name, "html") for name in (*ENDPOINTS, "xet_token")],
    *[(name, kind) for name in ("preupload", "tree") for kind in PAGES if kind != "html"],
    *[(name, "412") for name in ("tag", "preupload", "commit", "repo_info")],
]


@pytest.mark.parametrize(("endpoint", "kind"), FAULTS)
def test_one_fault_anywhere_and_the_push_ends_well(
    push: Pusher, hub_peer: HubPeer, built: Path, endpoint: str, kind: str
) -> None:
    hub_peer.faults.add(endpoint, kind)
    done = push(built)
    assert done.state == "published"
    assert holds(hub_peer, built)
    assert len(hub_peer.repo(REPO).commits) == 2, "never twice"
    assert hub_peer.repo(REPO).tags


DATA_FAULTS = {
    "xet": ("xet_token", "cas_xorb", "cas_shard"),
    "lfs": ("lfs_batch", "lfs_put", "lfs_verify"),
}


@pytest.mark.parametrize("kind", ["503", "lost-504"])
@pytest.mark.parametrize("number", range(3))
def test_one_fault_while_data_is_sent(
    push: Pusher, hub_peer: HubPeer, transfer: str, built: Path, number: int, kind: str
) -> None:
    hub_peer.faults.add(DATA_FAULTS[transfer][number], kind)
    assert push(built).state == "published"
    assert holds(hub_peer, built)


@pytest.mark.parametrize("kind", ["503", "lost-504"])
@pytest.mark.parametrize("endpoint", ["commit", "tree", "tag"])
def test_a_hub_that_stays_down_is_said_with_what_it_holds(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path, endpoint: str, kind: str
) -> None:
    push(built)
    hub_peer.faults.add(endpoint, kind, times=100)
    if (endpoint, kind) == ("commit", "lost-504"):
        assert push(grown).state == "published", "the tree says that it went through"
        return
    if (endpoint, kind) == ("tag", "lost-504"):
        push(grown)
    else:
        with pytest.raises(HubError, match="run again") as caught:
            push(grown)
        assert "\n" not in str(caught.value)
        new = "the release, at commit" in str(caught.value)
        assert holds(hub_peer, grown if new else built)
        assert new == (endpoint == "tag")
    hub_peer.faults.clear()
    assert push(grown).state in ("published", "unchanged")
    assert holds(hub_peer, grown)


def test_the_head_that_moved_is_looked_at_again(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path
) -> None:
    push(built)
    repo = hub_peer.repo(REPO)
    hub_peer.before("commit", lambda: repo.commit({"mine.txt": b"x"}, "in between", "main"))
    done = push(grown)
    assert done.state == "published"
    assert holds_besides(hub_peer, grown, "mine.txt")
    assert [commit.title for commit in repo.commits][-2] == "in between"


def test_two_pushes_at_once_end_well(hub_peer: HubPeer, built: Path) -> None:
    statuses: list[str] = []

    def one() -> None:
        statuses.append(Pusher(hub_peer)(built).state)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) in (["published", "unchanged"], ["published", "published"])
    assert len(hub_peer.repo(REPO).commits) == 2
    assert holds(hub_peer, built)


def test_a_push_that_was_killed_is_finished_by_the_next(
    push: Pusher, hub_peer: HubPeer, built: Path
) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    api_calls = ("create_commit", "create_tag")
    for call in api_calls:
        pusher = Pusher(hub_peer)
        api = hub_peer.api("write")
        setattr(api, call, lambda *a, **k: die())
        from magpie_hub.hub.publish import PublishOptions, publish

        with pytest.raises(Killed):
            publish(PublishOptions(built, "toy"), api=api, sleep=pusher.waited.append)
    done = push(built)
    assert done.state == "unchanged"
    assert len(hub_peer.repo(REPO).commits) == 2
    assert hub_peer.repo(REPO).tags
