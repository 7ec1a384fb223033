"""The card's table of variants: what is published beside a dataset, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from magpie_hub.release.folder import write_release
from tests import manifests
from tests.hub.pusher import Pusher
from tests.hub_peer.server import HubPeer
from tests.toy_release import toy_job


@pytest.fixture(scope="module")
def smol_mt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of a variant that is shipped."""
    home = tmp_path_factory.mktemp("smol")
    return write_release(toy_job(home / "home", name="smol-mt"), home / "smol-mt").path


def manifest(name: str, rows: int, turns: int = 1, **changes: object) -> dict[str, bytes]:
    return {"manifest.json": manifests.manifest(name, rows, turns, **changes)}


def lines(card: str) -> list[str]:
    return [line for line in card.splitlines() if line.startswith(("| **smol", "| [", "| air"))]


def test_only_what_is_published_in_the_namespace_is_listed_with_its_rows(
    smol_mt: Path, push: Pusher, hub_peer: HubPeer, tmp_path: Path
) -> None:
    hub_peer.create_repo("tester/magpie-smol", files=manifest("smol", 24))
    hub_peer.create_repo("tester/magpie-air", files=manifest("air", 7), private=True)
    hub_peer.create_repo("tester/magpie-pro", files={"data/x.csv": b"1"})
    hub_peer.create_repo("tester/magpie-pro-mt", files=manifest("other", 3))
    hub_peer.create_repo("tester/magpie-air-mt", files=manifest("air-mt", 3, model="x"))
    folder = Path(shutil.copytree(smol_mt, tmp_path / "smol-mt"))
    assert push(folder, name="smol-mt").state == "published"
    card = hub_peer.repo("tester/magpie-smol-mt").files()["README.md"].decode()
    assert lines(card) == [
        "| [smol](https://huggingface.co/datasets/tester/magpie-smol) | `a/model` | 1 | 24 |",
        "| **smol-mt** (this one) | `toy/model` | 2 | 30 |",
    ]
    assert push(folder, name="smol-mt").state == "unchanged"


def test_a_set_that_stands_alone_has_no_table(
    smol_mt: Path, push: Pusher, hub_peer: HubPeer, tmp_path: Path
) -> None:
    assert "## Variants" not in (smol_mt / "README.md").read_text()
    push(Path(shutil.copytree(smol_mt, tmp_path / "smol-mt")), name="smol-mt")
    card = hub_peer.repo("tester/magpie-smol-mt").files()["README.md"].decode()
    assert "## Variants" not in card


def test_a_recipe_of_ones_own_asks_for_no_variants(
    release: Path, push: Pusher, hub_peer: HubPeer
) -> None:
    hub_peer.create_repo("tester/magpie-smol", files=manifest("smol", 24))
    push(release)
    card = hub_peer.repo("tester/magpie-toy").files()["README.md"].decode()
    assert "## Variants" not in card
