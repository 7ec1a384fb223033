"""Places to keep state at, empty for every test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.checkpoint.faulty import FAULTS, FaultyFolders, FaultyStore


@pytest.fixture(autouse=True)
def _empty_stores() -> None:
    empty()


def empty() -> None:
    """Empties all stores in memory and plans no fault."""
    FAULTS.reset()
    for kind in (MemoryFileSystem, FaultyFolders, FaultyStore):
        kind.store.clear()
        kind.pseudo_dirs[:] = [""]


KINDS = ("folder", "file", "memory", "faulty", "faulty-store")


def url_of(kind: str, tmp_path: Path) -> str:
    """A place of a kind."""
    made: dict[str, Callable[[], str]] = {
        "folder": lambda: str(tmp_path / "st ate#1"),
        "file": lambda: (tmp_path / "state").as_uri(),
    }
    return made.get(kind, lambda: f"{kind}://bucket/path")()


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of each kind."""
    return url_of(request.param, tmp_path)
