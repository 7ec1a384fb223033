"""The commands, against a Hub: push, verify, load, and push again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.hub.pusher import REPO
from tests.hub_peer.server import HubPeer

LOAD = """
import json, sys, datasets
repo, tag = sys.argv[1:]
rows = datasets.load_dataset(repo, split="train")
pinned = datasets.load_dataset(repo, split="train", revision=tag)
stream = list(datasets.load_dataset(repo, split="train", streaming=True))
raw = datasets.load_dataset(repo, "raw", split="train")
same = [row["uuid"] for row in stream] == list(rows["uuid"])
print(json.dumps([len(rows), list(pinned["uuid"]) == list(rows["uuid"]), same, len(raw)]))
"""


def test_from_a_release_to_rows_and_back(hub_peer: HubPeer, built: Path, tmp_path: Path) -> None:
    environment = hub_peer.environment(home=tmp_path / "hf")

    def run(*command: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        token = hub_peer.tokens["write"].text
        assert token not in done.stdout + done.stderr
        return done.stdout

    recipe, folder = str(built / "recipe.yaml"), ("--folder", str(built))
    push = ("-m", "magpie_hub", "push", "--variant", recipe, *folder, "--json")
    plan = json.loads(run(*push, "--dry-run"))
    assert (plan["state"], plan["commit"]) == ("planned", None)
    done = json.loads(run(*push))
    assert (done["state"], done["repo_id"]) == ("published", REPO)
    assert "as its manifest says" in run("-m", "magpie_hub", "verify", REPO)
    manifest = json.loads((built / "manifest.json").read_text())
    loaded = json.loads(run("-c", LOAD, REPO, done["tags"][0]))
    assert loaded == [30, True, True, manifest["funnel"]["planned"]]
    again = json.loads(run(*push))
    assert (again["state"], again["commit"]) == ("unchanged", done["commit"])
    hub_peer.repo(REPO).commit({"stats.json": b"{}"}, "spoilt", "main")
    assert "stats.json is not the file" in run("-m", "magpie_hub", "verify", REPO, status=1)
    card = run("-m", "magpie_hub", "card", str(built), "--repo-id", REPO)
    assert card.encode() == hub_peer.repo(REPO).files()["README.md"]
    assert run("-m", "magpie_hub", "scan", str(built)) == ""
