"""A release's way to a Hub and back, in commands: on the peer always, on the real Hub if asked.

    HF_LIVE=1 .venv/bin/python -m pytest tests/hub/test_live.py

The latter needs a token with the write role where `huggingface_hub` finds one. It makes a private
dataset of a name that is not taken, in the token's owner's namespace, and deletes it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

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
DELETE = ASK + "api.delete_repo(sys.argv[1], repo_type='dataset', missing_ok=True)"
LOAD = """
import sys, json, datasets
repo, tag = sys.argv[1:]
rows = datasets.load_dataset(repo, split="train")
raw = datasets.load_dataset(repo, "raw", split="train")
stream = datasets.load_dataset(repo, split="train", streaming=True, revision=tag)
print(json.dumps([rows["uuid"][:], len(raw), [row["uuid"] for row in stream]]))
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
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=hub,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    repo = f"{run('-c', WHO).strip()}/magpie-hub-test-{uuid.uuid4().hex[:12]}"

    def push(folder: Path) -> tuple[str, str, list[str]]:
        command = ("push", "--variant", str(folder / "recipe.yaml"), "--folder", str(folder))
        told = run("-m", "magpie_hub", *command, "--repo-id", repo, "--private", "--json")
        done = json.loads(told)
        return done["state"], done["commit"], done["tags"]

    try:
        state, commit, (tag,) = push(built)
        assert state == "published"
        assert "30 rows" in run("-m", "magpie_hub", "verify", repo)
        uuids, planned, pinned = json.loads(run("-c", LOAD, repo, tag))
        assert len(set(uuids)) == 30
        assert pinned == uuids
        assert planned > 30
        assert push(built) == ("unchanged", commit, [tag])
        state, later, _ = push(grown)
        assert state == "published"
        assert later != commit
        assert "40 rows" in run("-m", "magpie_hub", "verify", repo, "--revision", later)
        assert json.loads(run("-c", LOAD, repo, tag))[2] == uuids, "the tag holds the old rows"
        private, commits = json.loads(run("-c", LOOK, repo))
        assert private
        assert len(commits) == 3, "the repository's first, and one for each release"
    finally:
        run("-c", DELETE, repo)
