"""The Python API as a script imports it."""

from __future__ import annotations

from pathlib import Path

import pytest

import magpie_hub
from tests.tiny import write_tiny_model, write_tiny_recipe


def test_every_name_of_the_package_is_there_and_no_other() -> None:
    assert all(callable(getattr(magpie_hub, name)) for name in magpie_hub.__all__)
    assert set(magpie_hub.__all__) <= set(dir(magpie_hub))
    with pytest.raises(AttributeError, match="has no attribute 'publish'"):
        magpie_hub.publish  # noqa: B018


@pytest.mark.engine
def test_rows_come_as_dicts_and_are_those_of_the_build(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model")
    recipe = write_tiny_recipe(tmp_path / "recipe", model, rows=4)
    rows = list(magpie_hub.iter_rows(recipe, say=lambda line: None))
    assert [row["row_id"] for row in rows] == sorted({row["row_id"] for row in rows})
    assert [message["role"] for message in rows[0]["messages"]] == ["user", "assistant"]
    release = magpie_hub.build(recipe, tmp_path / "out", say=lambda line: None)
    assert release.rows == len(rows) == 4
