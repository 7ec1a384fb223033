"""`push --build`, against a Hub: one command from a recipe to a published dataset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hub.commands import Commands
from tests.hub_peer.server import HubPeer
from tests.tiny import write_tiny_model, write_tiny_recipe


def commands(peer: HubPeer, folder: Path) -> Commands:
    return Commands(peer.environment(home=folder / "hf"), folder)


@pytest.mark.engine
def test_one_command_builds_and_publishes(hub_peer: HubPeer, tmp_path: Path) -> None:
    """With a real, tiny model; what is there is neither generated nor sent a second time."""
    model = write_tiny_model(tmp_path / "model")
    recipe = write_tiny_recipe(tmp_path / "tiny.magpie.yaml", model, rows=6)
    push = ("push", "--variant", str(recipe), "--build")

    def journals() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in (tmp_path / "home").rglob("first.db")}

    with commands(hub_peer, tmp_path) as run:
        plan = json.loads(run.magpie(*push, "--dry-run", "--json"))
        assert plan["state"] == "planned"
        assert not hub_peer.asked("commit")
        made = journals()
        assert len(made) == 1

        done = json.loads(run.magpie(*push, "--json"))
        assert (done["state"], done["repo_id"]) == ("published", "tester/magpie-tiny")
        manifest = json.loads(hub_peer.repo("tester/magpie-tiny").files()["manifest.json"])
        assert manifest["rows"] == 6
        assert (tmp_path / "tiny" / "manifest.json").exists(), "it stays where build leaves it"

        assert run.magpie(*push).startswith("unchanged: ")
        assert journals() == made
        assert len(hub_peer.asked("commit")) == 1


def test_nothing_is_sent_of_what_cannot_be_built(hub_peer: HubPeer, tmp_path: Path) -> None:
    recipe = write_tiny_recipe(tmp_path / "tiny.magpie.yaml", tmp_path / "no-model")
    with commands(hub_peer, tmp_path) as run:
        done = run.ended("push", "--variant", str(recipe), "--build")
    assert done.status == 2
    assert "There is no folder" in done.err
    assert "Traceback" not in done.err
    assert hub_peer.requests == []
