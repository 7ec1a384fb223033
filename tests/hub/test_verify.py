"""Holding a published release against its manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from magpie_hub.errors import UserError
from magpie_hub.hub.verify import verify
from tests.hub.pusher import REPO, Pusher
from tests.hub_peer.server import HubPeer


def test_verify_agrees_and_says_what_does_not(push: Pusher, hub_peer: HubPeer, built: Path) -> None:
    push(built)
    repo, api = hub_peer.repo(REPO), hub_peer.api("write")

    def problems() -> tuple[str, ...]:
        return verify(REPO, api=api, load=False).problems

    assert problems() == ()
    shard = "data/default/train-00000-of-00001.parquet"
    repo.commit({shard: None}, "lost", "main")
    assert problems() == (f"{shard} is missing",)
    repo.commit({shard: b"PAR1other"}, "other", "main")
    assert problems() == (f"{shard} is not the file that the manifest names",)
    push(built)
    extra = "data/default/train-00009-of-00010.parquet"
    repo.commit({extra: b"x"}, "more", "main")
    assert problems() == (f"{extra} is not part of the release",)
    card = repo.files()["README.md"].decode().replace("num_examples: 30", "num_examples: 31")
    repo.commit({extra: None, "README.md": card.encode()}, "wrong", "main")
    assert "the card counts" in problems()[0]
    hub_peer.create_repo("tester/else", files={"a.txt": b"x"})
    with pytest.raises(UserError, match="no release of magpie-hub"):
        verify("tester/else", api=api)
    with pytest.raises(UserError, match="no such dataset"):
        verify("tester/nowhere", api=api)
