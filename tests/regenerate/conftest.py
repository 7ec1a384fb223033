"""A dataset of a tiny model, published on a Hub, and ticks that go on from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magpie_hub.api import build
from magpie_hub.hub import Push, publish
from magpie_hub.regenerate import Regenerated, Tick, regenerate
from tests.hub_peer.fixtures import hub_peer, transfer  # noqa: F401
from tests.hub_peer.server import HubPeer
from tests.tiny import GATES_OFF, write_tiny_model, write_tiny_recipe

REPO = "tester/magpie-tiny"
ROWS = 30


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def recipe(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_tiny_recipe(
        tmp_path / "tiny.magpie.yaml",
        model,
        rows=ROWS,
        card={"license": "apache-2.0"},
        gates={"rules": GATES_OFF, "duplicate": True},
    )


class Ticker:
    """Runs ticks against a Hub, noting what is said."""

    def __init__(self, peer: HubPeer, recipe: Path) -> None:
        self.peer = peer
        self.recipe = recipe
        self.said: list[str] = []

    def publish(self) -> None:
        """Publishes the first release."""
        release = build(self.recipe, say=self.said.append)
        publish(Push(release.path, "tiny"), api=self.peer.api("write"), say=self.said.append)

    def __call__(self, tick: str | None = None, *, token: str = "write", **how: Any) -> Regenerated:
        how = {"push": True, "name": self.recipe, **how}
        asked = Tick(tick=tick, **how)
        return regenerate(
            asked, say=self.said.append, api=self.peer.api(token), sleep=lambda seconds: None
        )


@pytest.fixture
def ticker(hub_peer: HubPeer, recipe: Path) -> Ticker:  # noqa: F811
    made = Ticker(hub_peer, recipe)
    made.publish()
    return made


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Goes on as another machine would: with an empty home and no release folder."""

    def go() -> None:
        other = tmp_path / "elsewhere"
        other.mkdir()
        monkeypatch.chdir(other)
        monkeypatch.setenv("MAGPIE_HOME", str(other / "home"))

    return go
