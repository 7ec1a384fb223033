"""The data of a release of two turns and all judges, and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from magpie_hub.release.card.render import render_card
from magpie_hub.release.dataset_info import dataset_info
from tests.release import card_data as sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of a release of two turns and all judges."""
    folder = tmp_path_factory.mktemp("release")
    sample.write_data(folder, [sample.row(n) for n in range(4)])
    return folder


@pytest.fixture(scope="module")
def info(folder: Path) -> list[dict[str, Any]]:
    return dataset_info(folder)


@pytest.fixture(scope="module")
def text(info: list[dict[str, Any]]) -> str:
    return render_card(sample.card_data(info=info))
