"""The release folder: whole or not at all, the same twice, and what `datasets` loads."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from magpie_hub.errors import JournalError, OutputError
from magpie_hub.generate.plan import Plan
from magpie_hub.pipeline.run import Run
from magpie_hub.recipe.fingerprint import recipe_fingerprint
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.release import folder as folder_module
from magpie_hub.release.folder import Release, write_release
from magpie_hub.release.schema import arrow_schema
from magpie_hub.selection.deliver import Funnel
from tests.release.shard_files import write_shards
from tests.toy_release import toy_job


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return toy_job(tmp_path / "home")


def content(release: Release) -> dict[str, bytes]:
    return {name: (release.path / name).read_bytes() for name in release.files}


def test_what_is_in_it(run: Run, tmp_path: Path) -> None:
    release = write_release(run, tmp_path / "out")
    assert set(release.files) == {
        "README.md",
        "assets/funnel.png",
        "assets/lengths.png",
        "data/default/train-00000-of-00001.parquet",
        "data/raw/train-00000-of-00001.parquet",
        "data/sharegpt/train-00000-of-00001.parquet",
        "manifest.json",
        "recipe.yaml",
        "stats.json",
    }
    manifest = json.loads((release.path / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        data = (release.path / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["bytes"] == len(data)
    stats = json.loads((release.path / "stats.json").read_text())
    funnel = stats["funnel"]
    assert funnel["planned"] == funnel["delivered"] + sum(funnel["rejected"].values())
    assert stats["rows"] == manifest["rows"] == 30


def test_it_loads_and_rows_have_the_published_columns(run: Run, tmp_path: Path) -> None:
    import datasets

    release = write_release(run, tmp_path / "out")
    rows = datasets.load_dataset(str(release.path), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(rows) == 30
    row = rows[0]
    assert row["messages"] == [
        {"role": "user", "content": row["instruction"]},
        {"role": "assistant", "content": row["response"]},
        {"role": "user", "content": row["instruction_2"]},
        {"role": "assistant", "content": row["response_2"]},
    ]
    assert row["gen_input_configs"]["input_generator"] == "toy/model"
    assert row["gen_input_configs"]["pre_query_template"] == "<s><user>"
    assert row["gen_input_configs"]["seed"] == Plan(run.recipe).row(row["row_id"]).seed
    assert row["instruction_length"] == len(row["instruction"])
    assert row["finish_reason"] == row["finish_reason_2"] == "stop"
    assert rows["row_id"][:] == sorted(rows["row_id"][:])
    assert len(set(rows["uuid"][:])) == 30


def test_the_raw_config_accounts_for_every_planned_row(run: Run, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    release = write_release(run, tmp_path / "out")
    raw = pq.read_table(release.path / "data" / "raw").to_pylist()
    assert [row["row_id"] for row in raw] == list(range(release.funnel.planned))
    reasons = Counter(row["reject_reason"] for row in raw)
    assert reasons.pop(None) == release.rows
    assert reasons == release.funnel.rejected
    unanswered = [row for row in raw if row["response"] is None]
    assert unanswered
    assert {row["reject_reason"] for row in unanswered} == {"instruction.colon"}
    assert all([m["role"] for m in row["messages"]] == ["user"] for row in unanswered)


def test_built_twice_it_is_the_same_to_the_byte(run: Run, tmp_path: Path) -> None:
    one, two = write_release(run, tmp_path / "a"), write_release(run, tmp_path / "b")
    assert content(one) == content(two)


def test_the_cards_yaml_and_numbers(run: Run, tmp_path: Path) -> None:
    text = write_release(run, tmp_path / "out").card.read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["pretty_name"] == "A: toy"
    assert front["license"] == "apache-2.0"
    assert front["size_categories"] == ["n<1K"]
    assert [c["config_name"] for c in front["configs"]] == ["default", "raw", "sharegpt"]
    assert front["configs"][0]["default"]
    assert "30 conversations of 2 turns" in text


def test_the_recipe_in_it_is_the_recipe(run: Run, tmp_path: Path) -> None:
    release = write_release(run, tmp_path / "out")
    again = parse_recipe((release.path / "recipe.yaml").read_text(), "again")
    assert again == run.recipe.model_copy(update={"model_revision": "r1"})


@pytest.mark.parametrize("engine", ["server", "auto"])
def test_a_servers_address_is_not_published(tmp_path: Path, engine: str) -> None:
    address = "http://gpu-box.internal:8000/v1"
    run = toy_job(tmp_path / "home", f"engine: {engine}\nbase_url: {address}\n")
    with run.row_store(writable=True) as row_store:
        row_store.first.begin_session(
            {
                "engine": "server",
                "version": "vLLM 1",
                "device": address,
                "dtype": "unknown",
                "slots": 8,
                "settings": {"base_url": address, "served_model": "toy/model"},
            }
        )
    release = write_release(run, tmp_path / "out")
    for name, data in content(release).items():
        assert b"gpu-box" not in data, name
    manifest = json.loads((release.path / "manifest.json").read_text())
    assert manifest["sessions"][-1]["engine"] == "server"
    assert manifest["sessions"][-1]["settings"] == {"served_model": "toy/model"}
    again = parse_recipe((release.path / "recipe.yaml").read_text(), "again")
    local = {"model_revision": "r1", "engine": "auto", "base_url": None}
    assert again == run.recipe.model_copy(update=local)
    # Nor can it be guessed back from a hash that holds it.
    assert manifest["recipe_fingerprint"] == recipe_fingerprint(again)


def test_what_is_nobodys_business_is_in_none_of_its_files(tmp_path: Path) -> None:
    private = (
        "hub: {repo_id: ns/toy, reviewed: ['email sha256:0123456789abcdef']}\n"
        "regenerate: {grow: 7, state: 's3://private-bucket/state'}\n"
    )
    release = write_release(toy_job(tmp_path / "home", private), tmp_path / "out")
    for name, data in content(release).items():
        assert b"private-bucket" not in data, name
        assert b"0123456789abcdef" not in data, name
    again = parse_recipe((release.path / "recipe.yaml").read_text(), "again")
    assert (again.regenerate.grow, again.regenerate.state) == (7, None)
    assert again.hub.repo_id == "ns/toy"


def test_an_earlier_release_is_replaced(run: Run, tmp_path: Path) -> None:
    release = write_release(run, tmp_path / "out")
    (release.path / "data" / "default" / "train-00001-of-00002.parquet").write_text("stale")
    write_release(run, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*of-00002*"))
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_a_failure_leaves_the_earlier_release(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(write_release(run, tmp_path / "out"))

    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_module, "render_card", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_release(run, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert content(Release(tmp_path / "out", 0, Funnel(0, {}, 0), {}, tuple(before))) == before
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_what_a_killed_writer_left_is_cleared_up(run: Run, tmp_path: Path) -> None:
    release = write_release(run, tmp_path / "out")
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (tmp_path / f".out.{gone}.partial").mkdir()
    # Killed between its two renames: the old release is beside its place.
    release.path.rename(tmp_path / f".out.{gone}.old")
    write_release(run, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").exists()
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".out")]


def test_a_place_that_holds_something_else_is_refused(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("...")
    with pytest.raises(OutputError, match="holds something that is not a release"):
        write_release(run, mine)
    assert (mine / "thesis.tex").read_text() == "..."
    with pytest.raises(OutputError, match="not a folder"):
        write_release(run, mine / "thesis.tex")
    (tmp_path / "empty").mkdir()
    write_release(run, tmp_path / "empty")


def test_missing_rows_are_refused(run: Run, tmp_path: Path) -> None:
    more = Run(run.recipe.model_copy(update={"rows": 500}), run.source, run.home, run.gates)
    with pytest.raises(JournalError, match="are missing"):
        write_release(more, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_shards_are_bounded_and_named_by_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    from magpie_hub.release import parquet

    monkeypatch.setattr(parquet, "SHARD_BYTES", 20_000)
    monkeypatch.setattr(parquet, "BATCH", 50)
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1)
    schema = arrow_schema(1)
    rows = ({"row_id": i, "instruction": hashlib.sha512(b"%d" % i).hexdigest()} for i in range(900))
    shards = write_shards(rows, schema, tmp_path)
    assert len(shards) > 2
    assert shards[0].name == f"train-00000-of-{len(shards):05d}.parquet"
    ids = [i for shard in shards for i in pq.read_table(shard)["row_id"].to_pylist()]
    assert ids == list(range(900))
    metadata = pq.read_metadata(shards[0])
    assert metadata.row_group(0).column(0).has_offset_index
    assert metadata.row_group(0).column(0).compression == "ZSTD"
