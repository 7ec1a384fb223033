"""A dataset of a tiny model, published on a Hub, and ticks that go on from it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magpie_hub.api import build
from magpie_hub.hub.publish import PublishOptions, publish
from magpie_hub.regenerate.run import regenerate
from magpie_hub.regenerate.tick import Regenerated, Tick
from tests.hub_peer.fixtures import hub_peer, no_waits, transfer  # noqa: F401
from tests.hub_peer.server import HubPeer
from tests.tiny import GATES_OFF, write_tiny_model, write_tiny_recipe

REPO = "tester/magpie-tiny"
ROWS = 30


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine on which the first release was built: recipe, journal, release folder."""
    place = tmp_path_factory.mktemp("made")
    recipe = write_tiny_recipe(
        place / "tiny.magpie.yaml",
        write_tiny_model(tmp_path_factory.mktemp("tiny")),
        rows=ROWS,
        card={"license": "apache-2.0"},
        gates={"rules": GATES_OFF, "duplicate": True},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAGPIE_HOME", str(place / "home"))
        build(recipe, place / "tiny")
    return place


@pytest.fixture
def recipe(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe, on a copy of that machine."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tiny.magpie.yaml"


class Ticker:
    """Runs ticks against a Hub, noting what is said."""

    def __init__(self, peer: HubPeer, recipe: Path) -> None:
        self.peer = peer
        self.recipe = recipe
        self.said: list[str] = []

    def __call__(self, tick: str | None = None, *, token: str = "write", **how: Any) -> Regenerated:
        how = {"push": True, "name": self.recipe, **how}
        asked = Tick(tick=tick, **how)
        return regenerate(
            asked, say=self.said.append, api=self.peer.api(token), sleep=lambda seconds: None
        )


@pytest.fixture
def ticker(hub_peer: HubPeer, recipe: Path, tmp_path: Path) -> Ticker:  # noqa: F811
    publish(PublishOptions(tmp_path / "tiny", "tiny"), api=hub_peer.api("write"))
    return Ticker(hub_peer, recipe)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Goes on as another machine would: with an empty home and no release folder."""

    def go() -> None:
        other = tmp_path / "elsewhere"
        other.mkdir()
        monkeypatch.chdir(other)
        monkeypatch.setenv("MAGPIE_HOME", str(other / "home"))

    return go
