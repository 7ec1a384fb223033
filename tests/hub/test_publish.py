"""Pushing to a Hub: one commit or none, whatever happens on the way."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import yaml

from magpie_hub.errors import HubError, UserError
from magpie_hub.hub import verify
from tests.hub.pusher import REPO, Pusher
from tests.hub_peer.server import HubPeer


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def holds(peer: HubPeer, folder: Path, repo_id: str = REPO, revision: str = "main") -> bool:
    """Whether a repository holds a release, to the byte but for the card's repository name."""
    there, here = peer.repo(repo_id).files(revision), contents(folder)
    there.pop(".gitattributes", None)
    there.pop("README.md", None)
    here.pop("README.md")
    return bool(there == here)


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


FAULTS = [
    (endpoint, kind)
    for endpoint in ("create_repo", "preupload", "commit", "tree", "repo_info", "tag", "refs")
    for kind in ("503", "lost-504", "lost-connection", "429")
]


@pytest.mark.parametrize(("endpoint", "kind"), FAULTS)
def test_one_fault_anywhere_and_the_push_ends_well(
    push: Pusher,
    hub_peer: HubPeer,
    built: Path,
    endpoint: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _do_not_wait(monkeypatch)
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
    push: Pusher,
    hub_peer: HubPeer,
    transfer: str,
    built: Path,
    number: int,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _do_not_wait(monkeypatch)
    hub_peer.faults.add(DATA_FAULTS[transfer][number], kind)
    assert push(built).state == "published"
    assert holds(hub_peer, built)


def _do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares a test the client's own waits."""
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize("kind", ["503", "lost-504"])
@pytest.mark.parametrize("endpoint", ["commit", "tree", "tag"])
def test_a_hub_that_stays_down_is_said_with_what_it_holds(
    push: Pusher,
    hub_peer: HubPeer,
    built: Path,
    grown: Path,
    endpoint: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _do_not_wait(monkeypatch)
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


def holds_besides(peer: HubPeer, folder: Path, *others: str) -> bool:
    there = peer.repo(REPO).files()
    for path in (".gitattributes", "README.md", *others):
        assert there.pop(path) is not None
    here = contents(folder)
    here.pop("README.md")
    return bool(there == here)


def test_two_pushes_at_once_end_well(hub_peer: HubPeer, built: Path) -> None:
    outcomes: list[str] = []

    def one() -> None:
        outcomes.append(Pusher(hub_peer)(built).state)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) in (["published", "unchanged"], ["published", "published"])
    assert len(hub_peer.repo(REPO).commits) == 2
    assert holds(hub_peer, built)


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
    from magpie_hub.release import write_release
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


def test_a_tag_that_names_another_release_is_refused(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path
) -> None:
    push(built, tag="v1")
    with pytest.raises(UserError, match="the tag v1 names another release"):
        push(grown, tag="v1")
    assert holds(hub_peer, built)


def test_no_token_is_ever_shown(
    push: Pusher, hub_peer: HubPeer, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _do_not_wait(monkeypatch)
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
        ("write", "tester/..bad..name", "not a repository's name"),
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
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path, how: dict[str, bool]
) -> None:
    push(grown)
    sent = hub_peer.data_sent()
    with pytest.raises(UserError, match="holds 40 rows, and this release has 30; .*--replace"):
        push(built, **how)
    assert holds(hub_peer, grown)
    assert hub_peer.data_sent() == sent
    assert not hub_peer.repo(REPO).prs


def test_it_shrinks_for_whoever_insists(
    push: Pusher, hub_peer: HubPeer, built: Path, grown: Path
) -> None:
    push(grown)
    assert push(built, replace=True, dry_run=True).state == "planned"
    assert "the 40 rows there give way to 30" in push.said
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
    from magpie_hub.release import write_release
    from tests.toy_release import toy_job

    secret = "hf_" + "aZ4bY7cX" * 4 + "qW"
    job = toy_job(tmp_path / "home", f"later_turns: {{system: 'use {secret} for it'}}\n")
    folder = write_release(job, tmp_path / "leaky").path
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
        from magpie_hub.hub import Push, publish

        with pytest.raises(Killed):
            publish(Push(built, "toy"), api=api, sleep=pusher.waited.append)
    done = push(built)
    assert done.state == "unchanged"
    assert len(hub_peer.repo(REPO).commits) == 2
    assert hub_peer.repo(REPO).tags


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
