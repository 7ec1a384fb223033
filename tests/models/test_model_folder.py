"""Models in a local folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from magpie_hub.errors import ModelError
from magpie_hub.models.folder import check_remote_code, shape_of
from magpie_hub.models.source import fetch, fetch_tokenizer, generation_eos, load_tokenizer, pin


def edit(path: Path, **fields: object) -> None:
    """Changes fields of a JSON file; None takes one out."""
    content = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_a_folder_is_pinned_by_what_is_in_it(folder: Path, tmp_path: Path) -> None:
    source = pin(str(folder))
    assert source.kind == "local"
    assert source.revision.startswith("local-")
    assert len(source.revision) == len("local-") + 12
    assert source.path == folder
    assert source.weight_bytes == (folder / "model.safetensors").stat().st_size
    assert source.parameters
    assert source.context_length == 512
    assert source.kv_bytes_per_token == 2 * 2 * 1 * 16 * 2
    assert source.license == "mit"
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert pin(str(moved)).revision == source.revision


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "generation_config.json", "chat_template.jinja"]
)
def test_another_content_is_another_revision(folder: Path, file: str) -> None:
    before = pin(str(folder)).revision
    (folder / file).write_text((folder / file).read_text() + "\n")
    assert pin(str(folder)).revision != before


def test_other_weights_are_another_revision(folder: Path) -> None:
    before = pin(str(folder)).revision
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert pin(str(folder)).revision != before


def test_a_readme_is_not_part_of_the_revision(folder: Path) -> None:
    before = pin(str(folder)).revision
    (folder / "README.md").write_text("Another text.")
    assert pin(str(folder)).revision == before


def test_a_folder_that_has_changed_since_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="have changed"):
        pin(str(folder), "local-0123456789ab")


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer"),
        ("model.safetensors", "no *.safetensors"),
    ],
)
def test_a_folder_without_what_it_takes_says_what_is_missing(
    folder: Path, missing: str, says: str
) -> None:
    (folder / missing).unlink()
    with pytest.raises(ModelError) as refused:
        pin(str(folder))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="model-00002-of-00002"):
        pin(str(folder))


def test_a_path_that_is_not_there_is_not_looked_up_on_the_hub() -> None:
    with pytest.raises(ModelError, match="no folder"):
        pin("./nowhere/model")


def test_the_tokenizer_loads_with_its_template(folder: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(fetch(pin(str(folder)), tmp_path))
    assert "<|im_start|>" in tokenizer.chat_template


def test_a_broken_tokenizer_is_one_line(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"nonsense": true}')
    with pytest.raises(ModelError, match="does not load") as refused:
        load_tokenizer(pin(str(folder)))
    assert "\n" not in str(refused.value)


def test_generation_config_says_which_ids_end_an_answer(folder: Path) -> None:
    source = pin(str(folder))
    edit(folder / "config.json", eos_token_id=7)
    edit(folder / "generation_config.json", eos_token_id=[3, 4])
    assert generation_eos(source) == (3, 4)
    edit(folder / "generation_config.json", eos_token_id=5)
    assert generation_eos(source) == (5,)
    edit(folder / "generation_config.json", eos_token_id=None)
    assert generation_eos(source) == (7,)
    (folder / "generation_config.json").unlink()
    edit(folder / "config.json", eos_token_id=None, text_config={"eos_token_id": 9})
    assert generation_eos(source) == (9,)
    edit(folder / "config.json", text_config=None)
    assert generation_eos(source) == ()


def test_code_of_the_repository_is_not_run_unasked(folder: Path, tmp_path: Path) -> None:
    edit(folder / "config.json", auto_map={"AutoConfig": "own.Config"}, model_type="own")
    source = pin(str(folder))
    for step in (fetch, fetch_tokenizer):
        with pytest.raises(ModelError, match="trust_model_code: true") as refused:
            step(source, tmp_path)
        assert "\n" not in str(refused.value)
        assert step(source, tmp_path, trust_remote_code=True).path == folder
    with pytest.raises(ModelError, match="trust_model_code: true"):
        load_tokenizer(source)


def test_a_model_that_transformers_knows_needs_no_code_of_its_own(folder: Path) -> None:
    edit(folder / "config.json", auto_map={"AutoConfig": "own.Config"})
    check_remote_code(folder, "tiny", trust_remote_code=False)


def test_a_shape_is_read_where_the_language_model_is_described() -> None:
    text = {
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "hidden_size": 64,
        "head_dim": 16,
        "max_position_embeddings": 1000,
    }
    for config in (text, {"text_config": text, "vision_config": {}}):
        assert shape_of(config).kv_bytes_per_token == 2 * 4 * 2 * 16 * 2
        assert shape_of(config).context_length == 1000
    assert shape_of({"quantization_config": {"quant_method": "awq"}}).quantization == "awq"
    assert shape_of({}).kv_bytes_per_token is None
