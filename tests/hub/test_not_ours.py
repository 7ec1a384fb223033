"""The user's own files in a repository, and releases that were made to do harm."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from magpie_hub import api
from magpie_hub.errors import MagpieError, UserError
from magpie_hub.hub.verify import verify
from magpie_hub.regenerate.published import read_published_release
from tests.hub.pusher import REPO, Pusher, holds
from tests.hub_peer.server import HubPeer

SHARD = "data/default/train-00000-of-00001.parquet"


@pytest.mark.parametrize("how", [{}, {"dry_run": True}, {"pull_request": True}])
@pytest.mark.parametrize(
    "path",
    ["manifest.json", "recipe.yaml", "stats.json", "assets/lengths.png", SHARD, "data/mine.csv"],
)
def test_a_file_of_a_person_is_never_written_over(
    push: Pusher, hub_peer: HubPeer, built: Path, path: str, how: dict[str, Any]
) -> None:
    mine = {path: b'{"name": "mine"}', "README.md": b"# Mine\n"}
    hub_peer.create_repo(REPO, files=mine)
    with pytest.raises(UserError, match="another repository") as caught:
        push(built, **how)
    assert str(caught.value).isprintable()
    assert path.split("/")[0] in str(caught.value) or "data" in str(caught.value)
    files = hub_peer.repo(REPO).files()
    assert {name: files[name] for name in mine} == mine
    assert hub_peer.data_sent() == 0
    assert not hub_peer.repo(REPO).prs


def test_a_card_of_a_person_is_kept_under_ours(
    push: Pusher, hub_peer: HubPeer, built: Path
) -> None:
    hub_peer.create_repo(REPO, files={"README.md": b"# Mine\n\nMy words.\n", "notes.txt": b"x"})
    assert push(built).state == "published"
    files = hub_peer.repo(REPO).files()
    assert b"My words." in files["README.md"]
    assert files["notes.txt"] == b"x"


def test_a_person_s_file_where_a_release_gets_a_new_one_stays(
    push: Pusher, hub_peer: HubPeer, built: Path
) -> None:
    push(built)
    repo = hub_peer.repo(REPO)
    manifest = json.loads(repo.files()["manifest.json"])
    del manifest["files"]["assets/lengths.png"]
    changes = {"manifest.json": json.dumps(manifest).encode(), "assets/lengths.png": b"mine"}
    repo.commit(changes, "mine", "main")
    with pytest.raises(UserError, match="assets/lengths.png is not of a release"):
        push(built)
    assert repo.files()["assets/lengths.png"] == b"mine"


def test_a_damaged_manifest_is_replaced_only_if_the_user_insists(
    push: Pusher, hub_peer: HubPeer, built: Path
) -> None:
    push(built)
    spoilt = b'{"made_by": "magpie_hub", "name": "toy", "files": {"../../x": {}}}'
    hub_peer.repo(REPO).commit({"manifest.json": spoilt}, "spoilt", "main")
    with pytest.raises(UserError, match="manifest.json: .*--replace"):
        push(built)
    assert push(built, replace=True).state == "published"
    assert holds(hub_peer, built)


HASHES = ["/etc/passwd", "../../../home/x", "..", "A" * 64, "0" * 63, "0" * 65, "", None, 7]
PATHS = [
    "../secret.txt",
    "/etc/hostname",
    "data/default/../../../secret.txt",
    "data\\default\\train-00000-of-00001.parquet",
    "C:/x",
    "assets/../../secret.txt",
    "README.MD",
    "data/default/train-00000-of-00001.parquet\n",
    "a\0b",
]


def crafted(files: dict[str, Any], path: str, **entry: Any) -> dict[str, Any]:
    return {**files, path: {**files.get(path, {"bytes": 6, "sha256": "0" * 64}), **entry}}


@pytest.mark.parametrize("path", PATHS)
def test_a_crafted_manifest_sends_nothing_from_outside(
    push: Pusher, hub_peer: HubPeer, release: Path, path: str
) -> None:
    (release.parent / "secret.txt").write_text("secret")
    manifest = json.loads((release / "manifest.json").read_text())
    manifest["files"] = crafted(manifest["files"], path)
    (release / "manifest.json").write_text(json.dumps(manifest))
    for door in (push, api.card, api.scan):
        with pytest.raises(UserError, match="manifest.json: ") as caught:
            door(release)
        assert str(caught.value).isprintable()
    assert hub_peer.requests == []


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_in_a_release_is_refused(push: Pusher, release: Path, what: str) -> None:
    place = release / ("assets/lengths.png" if what == "file" else "assets")
    place.rename(release.parent / "elsewhere")
    place.symlink_to(release.parent / "elsewhere")
    with pytest.raises(UserError, match="this is a link, and a release holds only files"):
        push(release)


@pytest.mark.parametrize("value", HASHES)
def test_a_published_hash_is_a_hash_or_refused(
    push: Pusher,
    hub_peer: HubPeer,
    built: Path,
    value: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    push(built)
    monkeypatch.chdir(tmp_path)
    repo = hub_peer.repo(REPO)
    manifest = json.loads(repo.files()["manifest.json"])
    manifest["files"] = crafted(manifest["files"], SHARD, sha256=value)
    repo.commit({"manifest.json": json.dumps(manifest).encode()}, "crafted", "main")
    before = sorted(os.listdir(tmp_path))
    client = hub_peer.api("write")
    for door in (
        lambda: verify(REPO, api=client, load=False),
        lambda: read_published_release(client, REPO, "toy"),
    ):
        with pytest.raises(UserError, match=r"manifest.json: .*sha256") as caught:
            door()
        assert str(caught.value).isprintable()
    assert sorted(os.listdir(tmp_path)) == before


def test_what_the_hub_lists_has_to_be_what_the_manifest_names(
    push: Pusher, hub_peer: HubPeer, built: Path
) -> None:
    push(built)
    repo, client = hub_peer.repo(REPO), hub_peer.api("write")
    manifest = json.loads(repo.files()["manifest.json"])
    for change in ({"sha256": "0" * 64}, {"bytes": 7}):
        other = {**manifest, "files": crafted(manifest["files"], SHARD, **change)}
        repo.commit({"manifest.json": json.dumps(other).encode()}, "crafted", "main")
        with pytest.raises(UserError, match="is not the file that the manifest names"):
            read_published_release(client, REPO, "toy")
        assert "is not the file" in verify(REPO, api=client, load=False).problems[0]


def test_statistics_of_another_release_are_refused(
    push: Pusher, hub_peer: HubPeer, built: Path
) -> None:
    push(built)
    repo, client = hub_peer.repo(REPO), hub_peer.api("write")
    stats = json.loads(repo.files()["stats.json"])
    repo.commit({"stats.json": json.dumps({**stats, "yield": 0.1}).encode()}, "other", "main")
    with pytest.raises(MagpieError, match=r"stats.json is not the file"):
        read_published_release(client, REPO, "toy")
