"""`dataset_info`: what the Parquet footers say, in the Hub's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from magpie_hub.errors import OutputError
from magpie_hub.release.dataset_info import dataset_info
from magpie_hub.release.schema import arrow_schema
from tests.release.card_data import row, write_data
from tests.release.shard_files import write_shards


def test_counts_bytes_and_columns_are_those_of_the_files(tmp_path: Path) -> None:
    import datasets
    import pyarrow.parquet as pq

    write_data(tmp_path, [row(n) for n in range(3)])
    found = dataset_info(tmp_path)
    default, raw, sharegpt = found
    assert [one["config_name"] for one in found] == ["default", "raw", "sharegpt"]
    assert [split["num_examples"] for one in found for split in one["splits"]] == [3, 4, 3]
    for info in (default, raw, sharegpt):
        (path,) = (tmp_path / "data" / info["config_name"]).iterdir()
        assert info["download_size"] == path.stat().st_size
        assert info["dataset_size"] == sum(split["num_bytes"] for split in info["splits"]) > 0
        features = datasets.Features.from_arrow_schema(pq.read_schema(path))
        assert datasets.Features._from_yaml_list(info["features"]) == features
    assert raw["features"][-1] == {"name": "reject_reason", "dtype": "string"}


def test_it_is_what_datasets_reads_and_writes(tmp_path: Path) -> None:
    import datasets

    write_data(tmp_path, [row(0)])
    info, *_ = dataset_info(tmp_path)
    assert datasets.DatasetInfo._from_yaml_dict(info)._to_yaml_dict() == info


def test_shards_and_splits_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from magpie_hub.release import parquet

    monkeypatch.setattr(parquet, "SHARD_BYTES", 20_000)
    monkeypatch.setattr(parquet, "BATCH", 50)
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1)
    folder = tmp_path / "data" / "only"
    rows = [{"row_id": n, "instruction": str(n) * 100} for n in range(700)]
    shards = write_shards(rows, arrow_schema(1), folder)
    write_shards(rows[:5], arrow_schema(1), folder, "test")
    assert len(shards) > 1
    (info,) = dataset_info(tmp_path)
    assert [(split["name"], split["num_examples"]) for split in info["splits"]] == [
        ("test", 5),
        ("train", 700),
    ]
    assert info["download_size"] == sum(path.stat().st_size for path in folder.iterdir())


def test_a_release_without_rows_has_its_columns(tmp_path: Path) -> None:
    write_data(tmp_path, [])
    assert dataset_info(tmp_path)[0]["splits"][0]["num_examples"] == 0
    assert dataset_info(tmp_path)[0]["features"][0]["name"] == "uuid"


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no data"):
        dataset_info(tmp_path)
    (tmp_path / "data" / "default").mkdir(parents=True)
    with pytest.raises(OutputError, match="no Parquet files"):
        dataset_info(tmp_path)


def test_files_of_different_columns_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "default"
    write_shards([], arrow_schema(1), folder)
    write_shards([], arrow_schema(2), folder, "test")
    with pytest.raises(OutputError, match="other columns"):
        dataset_info(tmp_path)
