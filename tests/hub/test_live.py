"""A release's way to a Hub and back, in commands: on the peer always, on the real Hub if asked.

    HF_LIVE=1 .venv/bin/python -m pytest tests/hub/test_live.py

The latter needs a token with the write role where `huggingface_hub` finds one. It makes a private
dataset of a name that is not taken, in the token's owner's namespace, and deletes it.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import pytest

from tests.hub.commands import Commands

ASK = "import sys, json; from huggingface_hub import HfApi; api = HfApi(); "
WHO = ASK + "print(api.whoami()['name'])"
LOOK = (
    ASK
    + """
repo = sys.argv[1]
commits = [one.title for one in api.list_repo_commits(repo, repo_type="dataset")]
print(json.dumps([api.dataset_info(repo).private, commits]))
"""
)
SPOIL = ASK + "api.upload_file(path_or_fileobj=b'{}', path_in_repo='stats.json', "
SPOIL += "repo_id=sys.argv[1], repo_type='dataset')"
DELETE = ASK + "api.delete_repo(sys.argv[1], repo_type='dataset', missing_ok=True)"
LOAD = """
import sys, json, datasets
repo, tag = sys.argv[1:]
rows = datasets.load_dataset(repo, split="train")
raw = datasets.load_dataset(repo, "raw", split="train")
pinned = datasets.load_dataset(repo, split="train", revision=tag)
stream = datasets.load_dataset(repo, split="train", streaming=True, revision=tag)
assert [row["uuid"] for row in stream] == pinned["uuid"][:]
print(json.dumps([rows["uuid"][:], len(raw), pinned["uuid"][:]]))
"""
CARD = """
import sys
from huggingface_hub import hf_hub_download
sys.stdout.write(open(hf_hub_download(sys.argv[1], "README.md", repo_type="dataset")).read())
"""


@pytest.fixture(params=["peer", "live"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a process that knows a Hub, with caches of the test's own."""
    if request.param == "peer":
        peer = request.getfixturevalue("hub_peer")
        return dict(peer.environment(home=tmp_path / "hf"))
    if os.environ.get("HF_LIVE") != "1":
        pytest.skip("goes to the real Hub: set HF_LIVE=1")
    from huggingface_hub import get_token

    if get_token() is None:
        pytest.skip("needs a token with the write role: run hf auth login, or set HF_TOKEN")
    offline = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
    caches = ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_XET_CACHE", "HF_ASSETS_CACHE")
    environment = {name: value for name, value in os.environ.items() if name not in offline}
    return environment | {name: str(tmp_path / name.lower()) for name in caches}


def test_there_and_back(hub: dict[str, str], built: Path, grown: Path, tmp_path: Path) -> None:
    with Commands(hub, tmp_path) as commands:
        repo = f"{commands.python(WHO).strip()}/magpie-hub-test-{uuid.uuid4().hex[:12]}"
        try:
            there_and_back(commands, repo, built, grown)
        finally:
            commands.python(DELETE, repo)
        assert hub.get("HF_TOKEN", repo) not in commands.shown, "no token is ever shown"


def there_and_back(commands: Commands, repo: str, built: Path, grown: Path) -> None:
    def which(folder: Path) -> tuple[str, ...]:
        recipe = str(folder / "recipe.yaml")
        return ("--variant", recipe, "--folder", str(folder), "--repo-id", repo, "--private")

    def push(folder: Path, *more: str) -> tuple[str, str, list[str]]:
        done = json.loads(commands.magpie("push", *which(folder), "--json", *more))
        return done["state"], done["commit"], done["tags"]

    assert push(built, "--dry-run")[:2] == ("planned", None)
    state, commit, (tag,) = push(built)
    assert state == "published"
    said = commands.magpie("verify", repo)
    assert "30 rows" in said
    assert "as its manifest says" in said
    assert commands.magpie("card", str(built), "--repo-id", repo) == commands.python(CARD, repo)
    assert commands.magpie("scan", str(built)) == ""
    uuids, planned, pinned = json.loads(commands.python(LOAD, repo, tag))
    assert len(set(uuids)) == 30
    assert pinned == uuids
    assert planned == json.loads((built / "manifest.json").read_text())["funnel"]["planned"]
    assert push(built) == ("unchanged", commit, [tag])

    state, later, _ = push(grown)
    assert state == "published"
    assert later != commit
    assert "40 rows" in commands.magpie("verify", repo, "--revision", later)
    assert json.loads(commands.python(LOAD, repo, tag))[2] == uuids, "the tag holds the old rows"
    private, commits = json.loads(commands.python(LOOK, repo))
    assert private
    assert len(commits) == 3, "the repository's first, and one for each release"

    for more in ((), ("--dry-run",)):
        done = commands.ended("push", *which(built), *more)
        assert done.status == 2
        assert "it holds 40 rows, and this release has 30" in done.err.splitlines()[-1]
        assert "Traceback" not in done.err
    assert push(built, "--replace")[0] == "published"
    commands.python(SPOIL, repo)
    assert "stats.json is not the file" in commands.magpie("verify", repo, status=3)
