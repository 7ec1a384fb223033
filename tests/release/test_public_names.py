"""A folder of this machine is published under a name, and its path stands nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from magpie_hub.cli.init import write_builder
from magpie_hub.errors import UserError
from magpie_hub.hub.publish import PublishOptions, publish
from magpie_hub.models.source import ModelSource, is_folder
from magpie_hub.pipeline.run import Run
from magpie_hub.recipe.load import load_recipe, parse_recipe
from magpie_hub.recipe.overrides import apply_overrides
from magpie_hub.release.folder import Release, write_release
from magpie_hub.release.published_names import PublicNames, without_paths
from tests.toy_release import toy_job


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "SECRET-place" / "my-model"
    place.mkdir(parents=True)
    return place


def release_of(folder: Path, tmp_path: Path, more: str = "", model: str | None = None) -> Release:
    """A toy release whose generator is said to be a folder."""
    run = toy_job(tmp_path / "home", rows=6)
    recipe = parse_recipe(
        yaml.safe_dump(
            run.recipe.model_dump(mode="json", exclude_unset=True) | {"model": model or str(folder)}
        )
        + more,
        "toy",
    )
    source = ModelSource(str(folder), "local-0123456789abcdef", "local", path=folder)
    run = _Job(recipe, source, run.home, run.gates, named=run)
    with run.row_store(writable=True) as row_store:
        row_store.first.begin_session(
            {
                "engine": "vllm",
                "version": "1",
                "device": "cpu",
                "dtype": "float32",
                "slots": 8,
                "settings": {"download_dir": str(folder), "spec": {"model": str(folder)}},
            }
        )
        row_store.first.begin_session(
            {
                "engine": "server",
                "version": "1",
                "device": "http://host/v1",
                "dtype": "unknown",
                "slots": 8,
                "settings": {"served_model": str(folder), "base_url": "http://host/v1"},
            }
        )
    return write_release(run, tmp_path / "out")


class _Job(Run):
    """A job whose rows lie where those of another were put."""

    def __init__(self, *fields: Any, named: Run) -> None:
        super().__init__(*fields)
        object.__setattr__(self, "_named", named)

    @property
    def folder(self) -> Path:
        found: Path = self._named.folder  # type: ignore[attr-defined]
        return found


def everything(release: Release) -> dict[str, bytes]:
    """All bytes of a release; of tables, their rows as text."""
    found = {}
    for name in release.files:
        path = release.path / name
        found[name] = path.read_bytes()
        if name.endswith(".parquet"):
            rows = pq.read_table(path)
            found[name] += json.dumps(rows.to_pylist()).encode() + str(rows.schema).encode()
    return found


@pytest.mark.parametrize("spelled", ["{folder}", "{folder}/", "{folder}/../my-model"])
def test_a_path_stands_in_no_file_of_a_release(folder: Path, tmp_path: Path, spelled: str) -> None:
    model = spelled.format(folder=folder)
    release = release_of(folder, tmp_path, "engine_args: {hf_config_path: /SECRET/x}\n", model)
    for name, data in everything(release).items():
        assert b"SECRET" not in data, name
    manifest = json.loads((release.path / "manifest.json").read_text())
    assert manifest["model"]["name"] == "my-model"
    assert manifest["model"]["revision"] == "local-0123456789abcdef"
    assert manifest["unnamed"] == ["model"]
    assert manifest["sessions"][-2]["settings"] == {
        "download_dir": "my-model",
        "spec": {"model": "my-model"},
    }
    (row, *_) = pq.read_table(release.path / "data" / "default").to_pylist()
    assert row["model"] == row["gen_input_configs"]["input_generator"] == "my-model"
    assert row["gen_response_configs"]["output_generator"] == "my-model"


def test_a_public_name_stands_wherever_a_model_is_named(folder: Path, tmp_path: Path) -> None:
    release = release_of(folder, tmp_path, "model_name: me/my-model\n")
    (row, *_) = pq.read_table(release.path / "data" / "default").to_pylist()
    assert row["model"] == row["gen_input_configs"]["input_generator"] == "me/my-model"
    again = load_recipe(release.path / "recipe.yaml")
    assert (again.model, again.model_name) == ("me/my-model", None)
    assert again.model_revision == "local-0123456789abcdef"
    manifest = json.loads((release.path / "manifest.json").read_text())
    assert manifest["model"]["name"] == "me/my-model"
    assert manifest["unnamed"] == []
    assert "me/my-model" in release.card.read_text()


def test_rows_keep_their_ids_when_a_folder_is_moved_or_named(folder: Path, tmp_path: Path) -> None:
    ids = set()
    for at, more in enumerate(("", "model_name: me/my-model\n")):
        place = folder if at == 0 else tmp_path / "elsewhere"
        place.mkdir(exist_ok=True)
        release = release_of(place, tmp_path / str(at), more)
        ids.add(tuple(pq.read_table(release.path / "data" / "default")["uuid"].to_pylist()))
    assert len(ids) == 1
    other = ModelSource(str(folder), "local-fedcba9876543210", "local")
    assert other.identity != ModelSource(str(folder), "local-0123456789abcdef", "local").identity
    assert ModelSource("a/b", "r1", "hub").identity == "a/b"


def test_judges_and_sets_beside_it_are_named_too(folder: Path, tmp_path: Path) -> None:
    beside = tmp_path / "SECRET-place" / "other-set"
    beside.mkdir()
    recipe = parse_recipe(
        f"""
name: toy
description: A toy.
model: toy/model
judges:
  tags: {{model: {folder}, model_name: me/tagger}}
  reward: {{model: {folder.parent}/reward, base: {{model: {folder.parent}/base}}}}
  guard: {{model: ~/guard, revision: r9}}
  neighbors: {{model: ./embed, against: [{beside}, ns/set]}}
card: {{beside: [{beside}, ns/other]}}
""",
        "toy",
    )
    names = PublicNames(recipe)
    assert names.unnamed == (
        "judges.reward.base.model",
        "judges.reward.model",
        "judges.guard.model",
        "judges.neighbors.model",
    )
    written = json.dumps(names.recipe(recipe.model_dump(mode="json", exclude_unset=True)))
    assert "SECRET" not in written
    assert "~" not in written
    said = json.loads(written)["judges"]
    assert said["tags"]["model"] == "me/tagger"
    assert said["reward"]["base"]["model"] == "base"
    assert said["neighbors"]["against"] == ["other-set", "ns/set"]
    revisions = {str(folder): "local-1", "~/guard@r9": "r9", "ns/x": "abc"}
    public = names.judges(revisions)
    assert public == {"me/tagger": "local-1", "guard@r9": "r9", "ns/x": "abc"}
    assert names.judges_here(public) == revisions
    label = {
        "task_category_generator": str(folder),
        "reward_model": f"{folder.parent}/reward",
        "min_similar_uuid": f"{beside}#7",
        "intent": str(folder),
    }
    assert names.label(label) == {
        "task_category_generator": "me/tagger",
        "reward_model": "reward",
        "min_similar_uuid": f"{beside.name}#7",
        "intent": str(folder),
    }
    untouched = {"task_category_generator": "toy/model", "min_similar_uuid": "0-1"}
    assert names.label(untouched) is untouched


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("/models/x", True),
        ("./x", True),
        ("../x", True),
        (".", True),
        ("~/x", True),
        ("C:\\models\\x", True),
        ("\\\\server\\x", True),
        ("file:///x", True),
        ("meta-llama/Llama-3", False),
        ("gpt2", False),
        (".hidden/x", False),
    ],
)
def test_what_names_a_folder(name: str, is_one: bool) -> None:
    assert is_folder(name) is is_one


def test_a_folder_named_like_a_hub_id_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_folder("me/weights")
    (tmp_path / "me" / "weights").mkdir(parents=True)
    assert is_folder("me/weights")


def test_paths_are_taken_out_of_settings() -> None:
    assert without_paths(
        {"a": ["/x/y", "x/y", 3, None], "b": "C:\\u\\m", "c": "file:///q/w", "d": "a /b", "e": "/"}
    ) == {"a": ["y", "x/y", 3, None], "b": "m", "c": "w", "d": "a /b", "e": "/"}


@pytest.mark.parametrize("name", ["/home/me/x", "~/x", "a/b/c", "C:\\x", "", ".x", "a b", "file:x"])
def test_a_public_name_is_no_path(name: str, tmp_path: Path) -> None:
    text = f"name: x\ndescription: y\nmodel: {tmp_path}\nmodel_name: {json.dumps(name)}\n"
    with pytest.raises(UserError, match="model_name"):
        parse_recipe(text, "x")


def test_another_model_has_another_name(tmp_path: Path) -> None:
    recipe = parse_recipe("name: x\ndescription: y\nmodel: /a\nmodel_name: me/a\n", "x")
    assert apply_overrides(recipe, {"model": "ns/b"}, {}).model_name is None
    assert (
        apply_overrides(recipe, {"model": "/b"}, {"MAGPIE_MODEL_NAME": "me/b"}).model_name == "me/b"
    )
    assert apply_overrides(recipe, {"rows": 3}, {}).model_name == "me/a"


def test_the_recipe_that_init_writes_says_no_path_but_in_its_model(
    folder: Path, tmp_path: Path
) -> None:
    recipe, _ = write_builder(tmp_path / "mine", "mine", str(folder), 3)
    said = load_recipe(recipe)
    assert said.model == str(folder)
    assert "SECRET" not in said.description
    assert "my-model" in said.description


def test_a_push_asks_for_the_names_that_are_missing(folder: Path, tmp_path: Path) -> None:
    release = release_of(folder, tmp_path)
    with pytest.raises(UserError, match=r"model_name: NAMESPACE/NAME") as caught:
        publish(PublishOptions(release.path, "toy", "ns/toy"), say=print)
    assert "generates nothing" in str(caught.value)
    assert "\n" not in str(caught.value)
