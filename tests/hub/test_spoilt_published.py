"""Damaged published releases, for every function that reads a repository."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magpie_hub.errors import MagpieError
from magpie_hub.hub.tree import RemoteFile, RemoteTree
from magpie_hub.hub.verify import differences
from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate import published
from magpie_hub.regenerate.drift.examine import examine
from tests.release.spoil import as_bytes, damaged, spoilt

quick = settings(
    deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
GIT = "0" * 40


class InMemory(RemoteTree):
    """A tree whose files are where the client would be."""

    def read(self, path: str) -> bytes | None:
        return self.api.get(path)  # type: ignore[attr-defined, no-any-return]


class Repository:
    """A repository of which the small files are in memory, and the listing says what they are."""

    def __init__(self, folder: Path) -> None:
        self.files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    @contextlib.contextmanager
    def holding(self, **changes: bytes) -> Iterator[None]:
        """Answers the readers of `regenerate` with these files in place of others."""
        files = {**self.files, **changes}
        if "manifest.json" not in changes:
            manifest = json.loads(files["manifest.json"])
            for path, content in changes.items():
                sha256 = hashlib.sha256(content).hexdigest()
                manifest["files"][path] |= {"sha256": sha256, "bytes": len(content)}
            files["manifest.json"] = as_bytes(manifest)
        listed = {
            path: RemoteFile(len(content), hashlib.sha256(content).hexdigest(), None)
            for path, content in files.items()
        }
        tree = InMemory("a/b", GIT, False, listed, files)  # type: ignore[arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(published, "read_tree", lambda api, repo_id: tree)
            yield


@pytest.fixture
def repository(built: Path) -> Repository:
    return Repository(built)


def look(repository: Repository) -> str:
    """What a tick makes of what stands there, in a line; "" if it would go on from it."""
    good = json.loads(repository.files["stats.json"])
    try:
        found = published.read_published_release(None, "a/b", "toy")  # type: ignore[arg-type]
    except MagpieError as error:
        return str(error)
    assert differences(found.tree, found.manifest) == []
    assert found.end >= 0
    assert found.find("x") is None
    for one, other in ((found.stats, good), (good, found.stats)):
        examine(one, other, Drift())
    return ""


@settings(quick, max_examples=150)
@given(data=st.data())
def test_a_spoilt_manifest_is_a_line(repository: Repository, data: st.DataObject) -> None:
    good = json.loads(repository.files["manifest.json"])
    with repository.holding(**{"manifest.json": data.draw(spoilt(good))}):
        said = look(repository)
    assert said.isprintable()
    assert len(said) < 1000


@settings(quick, max_examples=100)
@given(data=st.data())
@pytest.mark.parametrize("how", ["spoilt", "damaged"])
def test_spoilt_statistics_are_a_line(
    repository: Repository, how: str, data: st.DataObject
) -> None:
    good = repository.files["stats.json"]
    content = data.draw(spoilt(json.loads(good)) if how == "spoilt" else damaged(good))
    with repository.holding(**{"stats.json": content}):
        said = look(repository)
    assert said.isprintable()
    assert len(said) < 1000


def test_the_good_one_is_gone_on_from(repository: Repository) -> None:
    with repository.holding():
        assert look(repository) == ""
