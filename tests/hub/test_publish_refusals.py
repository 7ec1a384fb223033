"""What is not pushed, and how it is said: in one line, with nothing sent."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from magpie_hub.errors import UserError
from tests.hub.pusher import REPO, Pusher, contents, holds
from tests.hub_peer.server import HubPeer


def test_a_tag_that_names_another_release_is_refused(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path
) -> None:
    push(built, tag="v1")
    with pytest.raises(UserError, match="the tag v1 names another release"):
        push(grown, tag="v1")
    assert holds(hub_peer, built)


def test_no_token_is_ever_shown(push: Pusher, hub_peer: HubPeer, built: Path) -> None:
    secrets = [token.text for token in hub_peer.tokens.values()]
    for kind in ("500", "lost-504", "412"):
        hub_peer.faults.add("commit", kind)
    push(built)
    failure = ""
    try:
        push(built, token="read", repo_id="tester/other")
    except UserError as error:
        failure = str(error)
    assert failure
    shown = "\n".join([failure, *push.said, *map(repr, hub_peer.repo(REPO).files().values())])
    assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize(
    ("token", "repo_id", "says"),
    [
        (None, "tester/magpie-toy", "hf auth login"),
        ("read", "tester/magpie-toy", "write role"),
        ("write", "somebody/magpie-toy", "write role"),
        ("write", "no-namespace", "NAMESPACE/NAME"),
        ("write", "tester/..bad..name", "no name on the Hub"),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_line(
    push: Pusher, hub_peer: HubPeer, built: Path, token: str | None, repo_id: str, says: str
) -> None:
    with pytest.raises(UserError, match=says) as caught:
        push(built, token=token, repo_id=repo_id)
    assert "\n" not in str(caught.value)
    assert hub_peer.data_sent() == 0


def test_a_models_name_is_refused(push: Pusher, hub_peer: HubPeer, built: Path) -> None:
    hub_peer.create_repo("tester/model", type="model")
    with pytest.raises(UserError, match="a model has this name"):
        push(built, repo_id="tester/model")


@pytest.mark.parametrize("how", [{}, {"dry_run": True}, {"pull_request": True}])
def test_a_published_dataset_does_not_shrink_unasked(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path, how: dict[str, Any]
) -> None:
    push(grown)
    sent = hub_peer.data_sent()
    with pytest.raises(UserError, match="holds 40 rows, and this release has 30; .*--replace"):
        push(built, **how)
    assert holds(hub_peer, grown)
    assert hub_peer.data_sent() == sent
    assert not hub_peer.repo(REPO).prs


def test_it_shrinks_only_if_the_user_insists(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path
) -> None:
    push(grown)
    assert push(built, replace=True, dry_run=True).state == "planned"
    assert "the 40 published rows are replaced by 30" in push.said
    assert holds(hub_peer, grown)
    assert push(built, replace=True).state == "published"
    assert holds(hub_peer, built)
    assert push(built).state == "unchanged"


def test_a_bigger_release_that_came_in_between_stays(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path
) -> None:
    hub_peer.before("commit", lambda: Pusher(hub_peer)(grown))
    with pytest.raises(UserError, match="holds 40 rows"):
        push(built)
    assert holds(hub_peer, grown)


def test_data_of_somebody_else_is_not_overwritten(
    push: Pusher, hub_peer: HubPeer, built: Path, tmp_path: Path
) -> None:
    hub_peer.create_repo(REPO, files={"data/train.parquet": b"theirs"})
    with pytest.raises(UserError, match="did not put there"):
        push(built)
    assert hub_peer.repo(REPO).files()["data/train.parquet"] == b"theirs"


def test_a_public_repository_is_not_taken_for_a_private_one(
    push: Pusher, hub_peer: HubPeer, built: Path
) -> None:
    push(built)
    with pytest.raises(UserError, match="is public"):
        push(built, private=True)


def test_a_release_that_was_spoilt_is_refused(
    push: Pusher, hub_peer: HubPeer, release: Path
) -> None:
    def spoil(path: str, content: bytes | None) -> str:
        place, before = release / path, contents(release).get(path)
        if content is None:
            place.unlink()
        else:
            place.write_bytes(content)
        try:
            with pytest.raises(UserError) as caught:
                push(release)
        finally:
            if before is None:
                place.unlink()
            else:
                place.write_bytes(before)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    shard = "data/default/train-00000-of-00001.parquet"
    assert "edited after the release was built" in spoil("stats.json", b"{}")
    assert "card.blocks" in spoil("README.md", b"# Mine")
    assert "missing" in spoil(shard, None)
    assert "not part of the release" in spoil("data/default/train-00001-of-00002.parquet", b"x")
    assert "cannot be read" in spoil("manifest.json", b"{")
    assert "not a release" in spoil("manifest.json", b"{}")
    assert hub_peer.requests == []
    assert push(release).state == "published"


def test_what_was_not_built_is_refused(push: Pusher, tmp_path: Path, built: Path) -> None:
    with pytest.raises(UserError, match="build it first"):
        push(tmp_path / "nothing")
    with pytest.raises(UserError, match="not of smol"):
        push(built, name="smol")


def test_a_release_with_a_secret_is_not_sent(
    push: Pusher, hub_peer: HubPeer, tmp_path: Path
) -> None:
    from magpie_hub.release.folder import write_release
    from tests.toy_release import toy_job

    secret = "hf_" + "aZ4bY7cX" * 4 + "qW"
    run = toy_job(tmp_path / "home", f"later_turns: {{system: 'use {secret} for it'}}\n")
    folder = write_release(run, tmp_path / "leaky").path
    with pytest.raises(UserError, match="the scan found") as caught:
        push(folder)
    assert hub_peer.requests == []
    assert secret not in "\n".join([str(caught.value), *push.said])
    marks = [line.split("  ")[1] for line in push.said]
    assert push(folder, reviewed=tuple(marks)).state == "published"


def test_a_card_on_the_hub_that_cannot_be_read_is_not_overwritten(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path
) -> None:
    push(built)
    hub_peer.repo(REPO).commit({"README.md": b"---\ntags: [\n---\nMine."}, "broken", "main")
    with pytest.raises(UserError, match="front matter") as caught:
        push(grown)
    assert "\n" not in str(caught.value)
    assert hub_peer.repo(REPO).files()["README.md"].endswith(b"Mine.")


@pytest.mark.parametrize("when", ["scanned", "sent"])
def test_a_file_that_changes_after_it_was_looked_at_is_not_committed(
    when: str, push: Pusher, hub_peer: HubPeer, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = release / "data/default/train-00000-of-00001.parquet"

    def spoil() -> None:
        shard.write_bytes(shard.read_bytes()[:-4] + b"PAR1")  # the same bytes, written again

    if when == "scanned":
        module = importlib.import_module("magpie_hub.hub.preflight")
        scan = module.scan_local
        monkeypatch.setattr(
            module, "scan_local", lambda *args, **how: (scan(*args, **how), spoil())[0]
        )
    else:
        hub_peer.before("cas_shard", spoil)
    with pytest.raises(UserError, match="changed while it was being published"):
        push(release)
    assert hub_peer.asked("commit") == []
    assert (hub_peer.data_sent() > 0) == (when == "sent")
    monkeypatch.undo()
