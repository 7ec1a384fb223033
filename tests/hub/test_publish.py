"""Pushing to a Hub: what a push comes to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from tests.hub.pusher import REPO, Pusher, contents, holds
from tests.hub_peer.server import HubPeer


def test_a_release_is_published_in_one_commit_and_tagged(
    push: Pusher, hub_peer: HubPeer, transfer: str, built: Path
) -> None:
    done = push(built)
    repo = hub_peer.repo(REPO)
    manifest = json.loads((built / "manifest.json").read_text())
    assert (done.state, done.repo_id, done.commit) == ("published", REPO, repo.head)
    assert len(repo.commits) == 2, "the repository's first, and ours"
    assert holds(hub_peer, built)
    assert repo.tags == {manifest["tag"]: repo.head}
    card = repo.files()["README.md"].decode()
    assert f'load_dataset("{REPO}", split="train", revision="{manifest["tag"]}")' in card


def test_pushing_again_sends_and_commits_nothing(
    push: Pusher, hub_peer: HubPeer, transfer: str, built: Path
) -> None:
    push(built)
    sent, commits = hub_peer.data_sent(), len(hub_peer.asked("commit"))
    again = push(built)
    assert again.state == "unchanged"
    assert again.commit == hub_peer.repo(REPO).head
    assert hub_peer.data_sent() == sent
    assert len(hub_peer.asked("commit")) == commits


def test_a_grown_release_replaces_the_old_one_and_keeps_what_people_put_there(
    push: Pusher, hub_peer: HubPeer, transfer: str, built: Path, grown: Path
) -> None:
    push(built)
    repo = hub_peer.repo(REPO)
    card = repo.files()["README.md"].decode()
    repo.commit(
        {
            "notes/mine.md": b"mine",
            "data/default/train-00007-of-00008.parquet": b"stale",
            "README.md": (card + "\n## My own section\n\nKeep me.\n").encode(),
        },
        "by hand",
        "main",
    )
    done = push(grown)
    files = hub_peer.repo(REPO).files()
    assert done.deleted == ("data/default/train-00007-of-00008.parquet",)
    assert files.pop("notes/mine.md") == b"mine"
    assert files["manifest.json"] == (grown / "manifest.json").read_bytes()
    assert "Keep me." in files["README.md"].decode()
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert front["dataset_info"][0]["splits"][0]["num_examples"] == 40
    assert len(hub_peer.repo(REPO).tags) == 2
    assert push(grown).state == "unchanged"


def test_a_dry_run_shows_the_plan_and_does_nothing(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path
) -> None:
    plan = push(built, dry_run=True)
    assert plan.state == "planned"
    assert set(plan.added) == set(contents(built))
    assert plan.bytes_new > 0
    assert [call for call in hub_peer.requests if call.method not in ("GET", "HEAD")] == []
    push(built)
    asked = len(hub_peer.requests)
    plan = push(grown, dry_run=True)
    assert "README.md" in plan.added
    assert "+" in plan.card_diff
    assert "recipe.yaml" in plan.added
    assert {call.method for call in hub_peer.requests[asked:]} <= {"GET", "HEAD", "POST"}
    assert not [c for c in hub_peer.requests[asked:] if c.endpoint in ("commit", "preupload")]
    assert push(built, dry_run=True).state == "unchanged"


def test_a_pull_request_is_proposed_once(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path
) -> None:
    push(built)
    first = push(grown, pull_request=True)
    again = push(grown, pull_request=True)
    assert (first.state, again.state) == ("proposed", "proposed")
    assert len(hub_peer.repo(REPO).prs) == 1
    assert holds(hub_peer, built)
    assert "/discussions/1" in first.url


def test_a_private_repository_a_tag_and_a_collection(
    push: Pusher, hub_peer: HubPeer, release: Path, tmp_path: Path
) -> None:
    from magpie_hub.release.folder import write_release
    from tests.toy_release import toy_job

    more = "hub: {repo_id: magpie-test/toy, collection: Magpie toys}\n"
    folder = write_release(toy_job(tmp_path / "home", more), tmp_path / "mine").path
    done = push(folder, private=True, tag="v1.0.0")
    repo = hub_peer.repo("magpie-test/toy")
    assert repo.private
    assert set(repo.tags) == set(done.tags) == {done.tags[0], "v1.0.0"}
    assert repo.files()["README.md"] == (folder / "README.md").read_bytes(), "byte for byte"
    (collection,) = hub_peer.collections.values()
    assert collection["title"] == "Magpie toys"
    push(folder, tag="v1.0.0")
    assert len(hub_peer.collections) == 1
    assert len(collection["items"]) == 1


def test_a_file_is_hashed_once(
    push: Pusher, transfer: str, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import lfs

    def fail(*_: object) -> None:
        raise AssertionError("the client hashes a file again")

    hashed = []
    digest = hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda file, how: (hashed.append(file.name), digest(file, how))[1]
    )
    monkeypatch.setattr(lfs, "sha_fileobj", fail)
    assert push(built).state == "published"
    shards = [name for name in hashed if str(name).endswith(".parquet")]
    assert len(shards) == len(set(shards)) == 3
