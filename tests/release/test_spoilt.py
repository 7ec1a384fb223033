"""Damaged releases, for every function that takes a folder: one line, nothing written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magpie_hub import api
from magpie_hub.errors import MagpieError
from magpie_hub.hub.preflight import check_release
from magpie_hub.release.folder import write_release
from tests.release.spoil import as_bytes, damaged, spoilt
from tests.toy_release import toy_job

SHARD = "data/default/train-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a release and nothing else."""
    home = tmp_path_factory.mktemp("toy")
    built = write_release(toy_job(home / "home"), home / "built").path
    place = tmp_path_factory.mktemp("place")
    shutil.copytree(built, place / "toy")
    return place


class Release:
    """A release of which one file at a time is another."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.folder = place / "toy"
        self.files = {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }

    @property
    def manifest(self) -> dict[str, Any]:
        return dict(json.loads(self.files["manifest.json"]))

    def ends(self, path: str, content: bytes, *doors: Callable[[Path], object]) -> list[str]:
        """What the doors say of it, a line each; "" where they take it."""
        changed = {path: content}
        if path != "manifest.json":
            manifest = self.manifest
            entry = manifest["files"][path]
            entry |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            changed["manifest.json"] = as_bytes(manifest)
        for name, data in changed.items():
            (self.folder / name).write_bytes(data)
        before = sorted(self.place.rglob("*"))
        said = []
        try:
            for door in doors or (check_release, api.card):
                try:
                    door(self.folder)
                    said.append("")
                except MagpieError as error:
                    said.append(str(error))
                    break
        finally:
            for name in changed:
                (self.folder / name).write_bytes(self.files[name])
        assert sorted(self.place.rglob("*")) == before, "nothing is written"
        assert said[-1].isprintable(), "one line that a terminal can show"
        assert len(said[-1]) < 1000
        return said


@pytest.fixture(scope="module")
def release(place: Path) -> Release:
    return Release(place)


quick = settings(
    deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


@settings(quick, max_examples=150)
@given(data=st.data())
def test_a_spoilt_manifest_is_a_line(release: Release, data: st.DataObject) -> None:
    release.ends("manifest.json", data.draw(spoilt(release.manifest)))


@settings(quick, max_examples=100)
@given(data=st.data())
def test_spoilt_statistics_are_a_line(release: Release, data: st.DataObject) -> None:
    release.ends("stats.json", data.draw(spoilt(json.loads(release.files["stats.json"]))))


@settings(quick, max_examples=20)
@given(data=st.data())
@pytest.mark.parametrize("path", ["manifest.json", "recipe.yaml", "README.md", SHARD])
def test_a_damaged_file_is_a_line(release: Release, path: str, data: st.DataObject) -> None:
    release.ends(path, data.draw(damaged(release.files[path])), check_release, api.card, api.scan)
