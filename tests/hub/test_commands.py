"""The commands, against a Hub: push, verify, load, and push again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.pusher import REPO
from tests.hub_peer.server import HubPeer
from tests.tiny import write_tiny_model, write_tiny_recipe

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
    assert "stats.json is not the file" in run("-m", "magpie_hub", "verify", REPO, status=3)
    card = run("-m", "magpie_hub", "card", str(built), "--repo-id", REPO)
    assert card.encode() == hub_peer.repo(REPO).files()["README.md"]
    assert run("-m", "magpie_hub", "scan", str(built)) == ""


def test_fewer_rows_than_are_there_take_a_word_more(
    hub_peer: HubPeer, built: Path, grown: Path, tmp_path: Path
) -> None:
    def push(folder: Path, *more: str) -> tuple[int, str]:
        which = ("--variant", str(folder / "recipe.yaml"), "--folder", str(folder))
        done = subprocess.run(
            [sys.executable, "-m", "magpie_hub", "push", *which, *more],
            cwd=tmp_path,
            env=hub_peer.environment(home=tmp_path / "hf"),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    assert push(grown)[0] == 0
    for more in ((), ("--dry-run",)):
        status, said = push(built, *more)
        assert status == 2
        assert "it holds 40 rows, and this release has 30" in said.splitlines()[-1]
        assert "Traceback" not in said
    assert push(built, "--replace")[0] == 0
    assert json.loads(hub_peer.repo(REPO).files()["manifest.json"])["rows"] == 30


def build_and_push(peer: HubPeer, recipe: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Runs `push --build` beside the recipe."""
    command = [sys.executable, "-m", "magpie_hub", "push", "--variant", str(recipe), "--build"]
    return subprocess.run(
        [*command, *more],
        cwd=recipe.parent,
        env=peer.environment(home=recipe.parent / "hf"),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.engine
def test_one_command_builds_and_publishes(hub_peer: HubPeer, tmp_path: Path) -> None:
    """With a real, tiny model; what is there is neither generated nor sent a second time."""
    model = write_tiny_model(tmp_path / "model")
    recipe = write_tiny_recipe(tmp_path / "tiny.magpie.yaml", model, rows=6)

    def journals() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in (tmp_path / "home").rglob("first.db")}

    plan = build_and_push(hub_peer, recipe, "--dry-run", "--json")
    assert plan.returncode == 0, plan.stderr
    assert json.loads(plan.stdout)["state"] == "planned"
    assert not hub_peer.asked("commit")
    made = journals()
    assert len(made) == 1

    first = build_and_push(hub_peer, recipe, "--json")
    assert first.returncode == 0, first.stderr
    done = json.loads(first.stdout)
    assert (done["state"], done["repo_id"]) == ("published", "tester/magpie-tiny")
    manifest = json.loads(hub_peer.repo("tester/magpie-tiny").files()["manifest.json"])
    assert manifest["rows"] == 6
    assert (tmp_path / "tiny" / "manifest.json").exists(), "the release stays where build leaves it"

    again = build_and_push(hub_peer, recipe)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("unchanged: ")
    assert journals() == made
    assert len(hub_peer.asked("commit")) == 1


def test_nothing_is_sent_of_what_cannot_be_built(hub_peer: HubPeer, tmp_path: Path) -> None:
    recipe = write_tiny_recipe(tmp_path / "tiny.magpie.yaml", tmp_path / "no-model")
    done = build_and_push(hub_peer, recipe)
    assert done.returncode == 2
    assert "There is no folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert hub_peer.requests == []
