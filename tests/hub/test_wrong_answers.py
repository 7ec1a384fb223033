"""Answers that are not the Hub's, and a Hub that stays away: one line, in bounded time."""

from __future__ import annotations

from pathlib import Path

import pytest

from magpie_hub.errors import HubError
from magpie_hub.hub.jobs.schedule import Schedule, Schedules
from magpie_hub.hub.verify import verify
from tests.hub.pusher import REPO, Pusher, holds
from tests.hub_peer.server import HubPeer
from tests.manifests import manifest


@pytest.mark.parametrize("kind", ["html", "412"])
@pytest.mark.parametrize("endpoint", ["preupload", "tree", "resolve"])
def test_an_answer_that_stays_wrong_is_a_line(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path, endpoint: str, kind: str
) -> None:
    push(built)
    hub_peer.faults.add(endpoint, kind, times=1000)
    with pytest.raises(HubError, match="holds what it held before; run again") as caught:
        push(grown)
    assert str(caught.value).isprintable()
    assert any("trying again" in line for line in push.said)
    assert holds(hub_peer, built)


@pytest.mark.parametrize("kind", ["html", "object"])
@pytest.mark.parametrize("endpoint", ["repo_info", "tree", "resolve"])
def test_who_looks_through_a_proxy_is_told_in_a_line(
    push: Pusher, hub_peer: HubPeer, built: Path, endpoint: str, kind: str
) -> None:
    push(built)
    hub_peer.faults.add(endpoint, kind, times=1000)
    with pytest.raises(HubError, match="run again") as caught:
        verify(REPO, api=hub_peer.api("write"), load=False)
    assert str(caught.value).isprintable()


def test_what_comes_is_the_file_that_the_hub_lists(
    push: Pusher, hub_peer: HubPeer, built: Path
) -> None:
    push(built)
    other = (built / "manifest.json").read_bytes().replace(b'"rows": 30', b'"rows": 31')
    hub_peer.faults.serve("resolve", other, times=20)
    with pytest.raises(HubError, match="manifest.json is not the file that the Hub lists"):
        verify(REPO, api=hub_peer.api("write"), load=False)


def test_a_schedule_behind_a_proxy_is_a_line(hub_peer: HubPeer) -> None:
    hub_peer.create_repo("tester/magpie-air", files={"manifest.json": manifest("air")})
    for endpoint in ("schedules", "schedule_create"):
        hub_peer.faults.add(endpoint, "html", times=1000)
        with pytest.raises(HubError) as caught:
            Schedules(api=hub_peer.api("write"), sleep=lambda seconds: None).create(Schedule("air"))
        assert str(caught.value).isprintable()
        hub_peer.faults.clear()


@pytest.mark.parametrize("kind", ["503", "html"])
def test_a_hub_that_gives_no_token_for_xet_is_said_at_once(
    push: Pusher, hub_peer: HubPeer, built: Path, kind: str
) -> None:
    hub_peer.faults.add("xet_token", kind, times=1000)
    with pytest.raises(HubError, match="holds what it held before; run again"):
        push(built)
    waits = [line for line in push.said if "trying again in" in line]
    assert len(waits) >= 3
    assert sum(push.waited) < 120, "the whole of it takes two minutes at most"
    assert len(hub_peer.asked("xet_token")) < 10, "Xet's own client never began"


def test_a_transfer_that_takes_long_says_that_it_goes_on(
    push: Pusher, hub_peer: HubPeer, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magpie_hub.hub.client.WORD", 0.1)
    hub_peer.faults.add("cas_xorb", "hang", seconds=0.5)
    assert push(built).state == "published"
    assert any("still sending files to" in line for line in push.said)
