"""The peer, driven by the real client in both ways of sending large files."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("lz4")
from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, errors
from huggingface_hub._oidc import exchange_oidc_token
from huggingface_hub.utils import _xet

from tests.hub_peer.server import HubPeer

# The client's own way of sending LFS files.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "tester/rows"
CARD = b"""---
license: mit
configs:
- {config_name: default, data_files: data/*.parquet}
---
Hello
"""


def push(api: HfApi, files: dict[str, bytes], name: str = NAME, **how: object) -> CommitInfo:
    """One commit with these files."""
    changes = [CommitOperationAdd(path, data) for path, data in files.items()]
    return api.create_commit(name, changes, commit_message="More rows", repo_type="dataset", **how)


def status(call: Callable[[], object]) -> int:
    """The status that a call of the client is refused with."""
    with pytest.raises(errors.HfHubHTTPError) as caught:
        call()
    return caught.value.response.status_code


def rows(count: int) -> bytes:
    out = io.BytesIO()
    table = pa.table({"n": list(range(count)), "text": [f"row {i}" for i in range(count)]})
    pq.write_table(table, out)
    return out.getvalue()


# ---- publishing and reading ----


def test_what_is_committed_is_read_back(
    hub_peer: HubPeer, transfer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, files = hub_peer.api(), {"README.md": CARD, "notes.txt": b"small"}
    files |= {"data/big.parquet": os.urandom(12_000_000), "data/less.parquet": os.urandom(99_999)}
    assert api.create_repo(NAME, repo_type="dataset") == f"{hub_peer.endpoint}/datasets/{NAME}"
    commit = push(api, files, commit_description="Why")

    repo = hub_peer.repo(NAME)
    assert repo.head == commit.oid
    assert [each.title for each in repo.commits] == ["initial commit", "More rows"]
    assert repo.commits[-1].message == "Why"
    assert repo.commits[0].files.keys() == {".gitattributes"}
    assert {path: repo.files()[path] for path in files} == files
    assert 12_099_999 <= hub_peer.data_sent() < 12_200_000
    ways = {"lfs": ["lfs_put"] * 4, "xet": ["cas_xorb"]}  # three parts, and one file in one piece
    sent = [each.endpoint for each in hub_peer.requests if each.bytes_in > 50_000]
    assert sent == ways[transfer]

    for path, data in files.items():
        got = api.hf_hub_download(NAME, path, repo_type="dataset", local_dir=tmp_path)
        assert Path(got).read_bytes() == data
    reading = {"lfs": "cdn", "xet": "cas_read"}[transfer]
    assert hub_peer.asked(reading)

    # The Hub's token goes to the Hub only.
    elsewhere = ("lfs_put", "cdn", "cas_xorb", "cas_shard", "cas_chunk", "cas_other", "cas_read")
    assert not [each for each in hub_peer.requests if each.endpoint in elsewhere and each.token]
    assert not [each for each in hub_peer.requests if "hf_" in each.path]
    assert {each.token for each in hub_peer.asked("commit")} == {"write"}

    # Unchanged, from a machine that remembers nothing.
    hub_peer.requests.clear()
    monkeypatch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "another"))
    assert push(api, files).oid == commit.oid
    assert hub_peer.data_sent() == 0
    assert not hub_peer.asked("commit")


def test_a_folder_is_uploaded_and_a_snapshot_taken(
    hub_peer: HubPeer, transfer: str, tmp_path: Path
) -> None:
    files = {"README.md": CARD, "data/a.parquet": rows(9), "deep/er/b.txt": b"b", "empty": b""}
    for path, data in files.items():
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(data)
    hub_peer.create_repo(NAME, files={"old.parquet": rows(4)})
    api = hub_peer.api()
    api.upload_folder(repo_id=NAME, repo_type="dataset", folder_path=tmp_path / "in")
    api.snapshot_download(NAME, repo_type="dataset", local_dir=tmp_path / "out")
    for path, data in {**files, "old.parquet": rows(4)}.items():
        assert (tmp_path / "out" / path).read_bytes() == data


LOAD = """
import json, sys
from datasets import Dataset, load_dataset
name = sys.argv[1]
tagged = load_dataset(name, revision="v1", split="train")
stream = load_dataset(name, split="train", streaming=True)
Dataset.from_dict({"n": [5, 6]}).push_to_hub("tester/pushed")
print(json.dumps({
    "main": load_dataset(name, split="train")["n"][:],
    "tag": tagged["n"][:],
    "streamed": [row["n"] for row in stream],
    "pushed": load_dataset("tester/pushed", split="train")["n"][:],
}))
"""


def test_datasets_are_loaded_and_pushed(hub_peer: HubPeer, transfer: str, tmp_path: Path) -> None:
    hub_peer.create_repo(NAME)
    api = hub_peer.api()
    push(api, {"README.md": CARD, "data/train-0.parquet": rows(3)})
    api.create_tag(NAME, tag="v1", repo_type="dataset")
    push(api, {"data/train-0.parquet": rows(5)})
    env = hub_peer.environment(xet=transfer == "xet", home=tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, NAME], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout.splitlines()[-1])
    assert read == {
        "main": [0, 1, 2, 3, 4],
        "tag": [0, 1, 2],
        "streamed": [0, 1, 2, 3, 4],
        "pushed": [5, 6],
    }
    assert "data/train-00000-of-00001.parquet" in hub_peer.repo("tester/pushed").files()


# ---- commits, pull requests, references ----


def test_a_stale_parent_is_refused(hub_peer: HubPeer) -> None:
    repo = hub_peer.create_repo(NAME)
    api, head = hub_peer.api(), repo.head
    hub_peer.before("commit", lambda: repo.commit({"theirs.txt": b"theirs"}, "Theirs"))
    with pytest.raises(errors.HfHubHTTPError, match="A commit has happened since") as caught:
        push(api, {"ours.txt": b"ours"}, parent_commit=head)
    assert caught.value.response.status_code == 412
    assert "ours.txt" not in repo.files()

    push(api, {"ours.txt": b"ours"}, parent_commit=repo.head)
    assert [each.title for each in repo.commits][-2:] == ["Theirs", "More rows"]


def test_files_are_deleted(hub_peer: HubPeer) -> None:
    repo = hub_peer.create_repo(NAME, files={"a.txt": b"a", "data/b": b"b", "data/c": b"c"})
    api = hub_peer.api()
    changes = [CommitOperationDelete("a.txt"), CommitOperationDelete("data/")]
    api.create_commit(NAME, changes, commit_message="Gone", repo_type="dataset")
    assert repo.files().keys() == {".gitattributes"}
    with pytest.raises(errors.EntryNotFoundError):
        api.delete_file("a.txt", NAME, repo_type="dataset")


def test_a_pull_request_is_opened(hub_peer: HubPeer, transfer: str) -> None:
    repo = hub_peer.create_repo(NAME, files={"README.md": CARD, "old.txt": b"old"})
    stranger = hub_peer.api("stranger")
    assert status(lambda: push(stranger, {"data/x.parquet": rows(2)})) == 403
    pull = push(stranger, {"data/x.parquet": rows(2)}, create_pr=True)
    assert pull.pr_revision == "refs/pr/1"
    push(stranger, {"more.txt": b"more"}, create_pr=True)
    assert "data/x.parquet" not in repo.files()
    assert repo.files("refs/pr/1")["data/x.parquet"] == rows(2)
    found = list(stranger.get_repo_discussions(NAME, repo_type="dataset"))
    assert [(each.num, each.status, each.author) for each in found] == [
        (1, "open", "stranger"),
        (2, "open", "stranger"),
    ]


def test_tags(hub_peer: HubPeer) -> None:
    repo = hub_peer.create_repo(NAME, files={"a.txt": b"a"})
    api = hub_peer.api()
    api.create_tag(NAME, tag="v1", repo_type="dataset")
    assert repo.tags == {"v1": repo.head}
    assert status(lambda: api.create_tag(NAME, tag="v1", repo_type="dataset")) == 409
    refs = api.list_repo_refs(NAME, include_pull_requests=True, repo_type="dataset")
    assert [each.name for each in refs.branches] == ["main"]
    assert [(each.name, each.target_commit) for each in refs.tags] == [("v1", repo.head)]
    titles = [each.title for each in api.list_repo_commits(NAME, repo_type="dataset")]
    assert titles == ["Seed", "initial commit"]
    with pytest.raises(errors.RevisionNotFoundError):
        api.dataset_info(NAME, revision="v2")


def test_a_tree_has_pages(hub_peer: HubPeer) -> None:
    files = {f"data/{i:02}.txt": b"%d" % i for i in range(20)} | {"big.parquet": rows(3)}
    repo = hub_peer.create_repo(NAME, files=files)
    api, hub_peer.page_size = hub_peer.api(), 8
    tree = list(api.list_repo_tree(NAME, recursive=True, expand=True, repo_type="dataset"))
    assert len(hub_peer.asked("tree")) == 3
    assert {each.path for each in tree} == {".gitattributes", "data", *files}
    big = next(each for each in tree if each.path == "big.parquet")
    assert (big.size, big.last_commit.oid) == (len(rows(3)), repo.head)
    assert big.lfs.sha256 == repo.by_oid[repo.head].entries["big.parquet"].sha256
    assert [each.path for each in api.list_repo_tree(NAME, repo_type="dataset")] == [
        ".gitattributes",
        "big.parquet",
        "data",
    ]
    found = api.get_paths_info(NAME, ["data", "big.parquet", "none"], repo_type="dataset")
    assert [each.path for each in found] == ["data", "big.parquet"]


# ---- troubles ----


@pytest.mark.parametrize("kind", ["500", "503", "504", "429", "412", "lost-504", "lost-connection"])
def test_a_commit_in_trouble(hub_peer: HubPeer, kind: str) -> None:
    repo = hub_peer.create_repo(NAME)
    api = hub_peer.api()
    hub_peer.faults.add("commit", kind)
    if kind == "lost-connection":
        with pytest.raises(Exception, match="disconnected|reset|closed"):
            push(api, {"a.txt": b"a"})
    else:
        assert status(lambda: push(api, {"a.txt": b"a"})) == int(kind[-3:])
    assert ("a.txt" in repo.files()) == kind.startswith("lost")
    push(api, {"b.txt": b"b"})
    assert "b.txt" in repo.files()
    assert [each.status for each in hub_peer.asked("commit")] == [
        0 if kind == "lost-connection" else int(kind[-3:]),
        200,
    ]


def test_an_answer_that_is_late(hub_peer: HubPeer) -> None:
    repo = hub_peer.create_repo(NAME)
    hub_peer.faults.add("commit", "hang", skip=1, seconds=0.3)
    push(hub_peer.api(), {"a.txt": b"a"})
    began = time.monotonic()
    push(hub_peer.api(), {"b.txt": b"b"})
    assert time.monotonic() - began >= 0.3
    assert "b.txt" in repo.files()


def test_the_client_tries_an_upload_again(hub_peer: HubPeer, transfer: str) -> None:
    repo = hub_peer.create_repo(NAME)
    endpoint = {"xet": "cas_xorb", "lfs": "lfs_put"}[transfer]
    hub_peer.faults.add(endpoint, "503")
    push(hub_peer.api(), {"a.parquet": rows(9)})
    assert [each.status for each in hub_peer.asked(endpoint)] == [503, 200]
    assert repo.files()["a.parquet"] == rows(9)


def test_a_fault_that_cannot_be_is_a_mistake(hub_peer: HubPeer) -> None:
    for endpoint, kind in [("comit", "500"), ("commit", "501"), ("tree", "418")]:
        with pytest.raises(ValueError, match="no "):
            hub_peer.faults.add(endpoint, kind)


# ---- who may do what ----


def test_repositories_are_made_and_deleted(hub_peer: HubPeer) -> None:
    api, kind = hub_peer.api(), {"repo_type": "dataset"}
    assert api.whoami()["name"] == "tester"
    api.create_repo("magpie-test/air", private=True, **kind)
    assert hub_peer.repo("magpie-test/air").private
    assert status(lambda: api.create_repo("magpie-test/air", **kind)) == 409
    assert api.create_repo("magpie-test/air", exist_ok=True, **kind).repo_id == "magpie-test/air"
    assert status(lambda: api.create_repo("someone/else", **kind)) == 403
    assert status(lambda: hub_peer.api("read").create_repo("tester/new", **kind)) == 403
    api.delete_repo("magpie-test/air", **kind)
    with pytest.raises(errors.RepositoryNotFoundError):
        api.dataset_info("magpie-test/air")


def test_a_token_that_only_reads_and_one_nobody_has(hub_peer: HubPeer, transfer: str) -> None:
    repo = hub_peer.create_repo(NAME)
    assert status(lambda: push(hub_peer.api("read"), {"a.parquet": rows(2)})) == 403
    assert status(lambda: push(hub_peer.api(None), {"a.parquet": rows(2)})) == 401
    assert status(HfApi(endpoint=hub_peer.endpoint, token="hf_none").whoami) == 401
    assert len(repo.commits) == 1
    assert hub_peer.data_sent() == 0


def test_private_and_gated(hub_peer: HubPeer, tmp_path: Path) -> None:
    repo = hub_peer.create_repo(NAME, private=True, files={"a.txt": b"a"})
    reading, stranger, nobody = (hub_peer.api(name) for name in ("read", "stranger", None))

    def download(api: HfApi) -> str:
        return api.hf_hub_download(NAME, "a.txt", repo_type="dataset", local_dir=tmp_path)

    assert Path(download(reading)).read_bytes() == b"a"
    for api, code in ((stranger, 404), (nobody, 401)):
        with pytest.raises(errors.RepositoryNotFoundError) as caught:
            api.dataset_info(NAME)
        assert caught.value.response.status_code == code
    repo.private, repo.gated = False, "manual"
    assert nobody.dataset_info(NAME).gated == "manual"
    for api in (stranger, nobody):
        url = f"{hub_peer.endpoint}/datasets/{NAME}/resolve/main/a.txt"
        with pytest.raises(errors.GatedRepoError):
            api.get_hf_file_metadata(url=url)


def test_keyless_tokens_are_for_one_repository(hub_peer: HubPeer) -> None:
    hub_peer.create_repo(NAME)
    hub_peer.create_repo("tester/other")

    def exchange(id_token: str) -> str:
        return exchange_oidc_token(
            subject_token=id_token, resource=f"datasets/{NAME}", endpoint=hub_peer.endpoint
        )["access_token"]

    assert status(lambda: exchange(hub_peer.id_token)) == 400
    hub_peer.trusted.add(f"datasets/{NAME}")
    assert status(lambda: exchange("of another job")) == 400
    api = HfApi(endpoint=hub_peer.endpoint, token=exchange(hub_peer.id_token))
    push(api, {"a.txt": b"a"})
    assert status(lambda: push(api, {"a.txt": b"a"}, "tester/other")) == 403
    assert status(lambda: api.create_repo("tester/new", repo_type="dataset")) == 403
    assert hub_peer.asked("commit")[0].token == "keyless"


@pytest.mark.parametrize(
    ("front", "why"),
    [
        ("license: [mit", "not valid"),
        ("license: no-such-licence", "license"),
        ("license: 3", "license"),
        ("configs: {config_name: a}", "configs"),
        ("configs:\n- {config_name: a, data_files: 3}", "data_files"),
        ("configs:\n- {config_name: a}\n- {config_name: a}", "twice"),
        ("configs:\n- {config_name: a, default: true}\n- {config_name: b, default: true}", "one"),
        ("tags: [1]", "tags"),
    ],
)
def test_a_card_that_is_wrong_is_refused(hub_peer: HubPeer, front: str, why: str) -> None:
    repo = hub_peer.create_repo(NAME)
    with pytest.raises(ValueError, match=f"(?s)Invalid metadata.*{why}"):
        push(hub_peer.api(), {"README.md": f"---\n{front}\n---\n".encode()})
    assert len(repo.commits) == 1


def test_collections(hub_peer: HubPeer) -> None:
    hub_peer.create_repo(NAME)
    api = hub_peer.api()
    made = api.create_collection("Our sets", namespace="magpie-test")
    assert status(lambda: api.create_collection("Our sets", namespace="magpie-test")) == 409
    again = api.create_collection("Our sets", namespace="magpie-test", exists_ok=True)
    assert again.slug == made.slug
    api.add_collection_item(made.slug, NAME, "dataset", note="rows")
    assert status(lambda: api.add_collection_item(made.slug, NAME, "dataset")) == 409
    assert status(lambda: api.add_collection_item(made.slug, "tester/none", "dataset")) == 404
    (item,) = api.get_collection(made.slug).items
    assert (item.item_id, item.item_type, item.note) == (NAME, "dataset", "rows")
    assert len(hub_peer.collections[made.slug]["items"]) == 1
    assert (
        status(lambda: hub_peer.api("stranger").create_collection("X", namespace="tester")) == 403
    )
