"""Damaged files of a model, such as after a broken download: always an error of one line."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.errors import MagpieError, ModelError
from magpie_hub.models.source import fetch, generation_eos, load_tokenizer, pin


def use(folder: Path) -> None:
    """Everything that is done with a model's files before its weights are loaded."""
    source = fetch(pin(str(folder)), folder.parent)
    load_tokenizer(source)
    generation_eos(source)


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as refused:
        use(folder)
    said = str(refused.value)
    assert "\n" not in said
    assert len(said) < 600
    return said


def header(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda whole: whole[:-1], "is cut short: it holds"),
        (lambda whole: whole[:100], "not a safetensors file, or cut short"),
        (lambda whole: whole[:5], "not a safetensors file, or cut short"),
        (lambda whole: b"", "not a safetensors file, or cut short"),
        (lambda whole: struct.pack("<Q", 2**63) + whole[8:], "not a safetensors file"),
        (lambda whole: struct.pack("<Q", 200_000_000) + whole[8:], "not a safetensors file"),
        (lambda whole: header(b"[" * 100_000), "not a safetensors file"),
        (lambda whole: header(b"\xff\xfe{}"), "not a safetensors file"),
        (lambda whole: header([1, 2]), "broken header"),
        (lambda whole: header({"w": {"shape": "all", "data_offsets": [0, 0]}}), "broken header"),
        (lambda whole: header({"w": {"shape": [-1], "data_offsets": [0, 0]}}), "broken header"),
        (lambda whole: header({"w": {"shape": [2.0], "data_offsets": [0, 0]}}), "broken header"),
        (lambda whole: header({"w": 7}), "broken header"),
        (lambda whole: b"version https://git-lfs.github.com/spec/v1\n" * 3, "git lfs pull"),
    ],
)
def test_weights_that_are_not_whole_are_refused_before_they_are_loaded(
    folder: Path, spoil: Callable[[bytes], bytes], says: str
) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(spoil(weights.read_bytes()))
    said = refusal(folder)
    assert says in said
    assert str(weights) in said


@pytest.mark.parametrize(
    ("file", "fields", "says"),
    [
        ("config.json", {"num_hidden_layers": "30"}, "num_hidden_layers: "),
        ("config.json", {"max_position_embeddings": [512]}, "max_position_embeddings: "),
        ("config.json", {"num_key_value_heads": -1}, "num_key_value_heads: "),
        ("config.json", {"hidden_size": True}, "hidden_size: "),
        ("config.json", {"num_attention_heads": 0.5}, "num_attention_heads: "),
        ("config.json", {"max_position_embeddings": 10**30}, "max_position_embeddings: "),
        ("config.json", {"text_config": []}, "text_config: "),
        ("config.json", {"text_config": {"eos_token_id": "2"}}, "eos_token_id: "),
        ("config.json", {"quantization_config": {"quant_method": 4}}, "quant_method: "),
        ("config.json", {"auto_map": "own.Config"}, "auto_map: "),
        ("config.json", {"architectures": "LlamaForCausalLM"}, "architectures: "),
        ("generation_config.json", {"eos_token_id": "</s>"}, "eos_token_id: "),
        ("generation_config.json", {"eos_token_id": [2, None]}, "eos_token_id: "),
        ("generation_config.json", {"eos_token_id": 2.0}, "eos_token_id: "),
        ("generation_config.json", {"eos_token_id": {"id": 2}}, "eos_token_id: "),
        ("tokenizer_config.json", {"auto_map": ["own.Tokenizer"]}, "auto_map: "),
    ],
)
def test_a_field_of_another_type_is_named(
    folder: Path, file: str, fields: dict[str, Any], says: str
) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    said = refusal(folder)
    assert says in said
    assert file in said


def test_heads_by_layer_are_no_mistake(folder: Path) -> None:
    path = folder / "config.json"
    fields = {"num_attention_heads": [2, 2], "num_key_value_heads": [1, None], "hidden_size": 32}
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    assert pin(str(folder)).kv_bytes_per_token is None


@pytest.mark.parametrize(
    "index", [{"weight_map": ["a"]}, {"weight_map": {"a": 1}}, {"weight_map": {"a": None}}]
)
def test_an_index_that_names_no_files_is_refused(folder: Path, index: dict[str, Any]) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "weight_map" in refusal(folder)


def test_several_licences_are_not_one(folder: Path) -> None:
    readme = folder / "README.md"
    readme.write_text("---\nlicense: [mit, apache-2.0]\n---\n")
    assert "license should be one licence" in refusal(folder)
    readme.write_text("---\nlicense: {id: mit}\n---\n")
    assert "license should be one licence" in refusal(folder)
    readme.write_text("---\nlicense: [mit]\n---\n")
    assert pin(str(folder)).license == "mit"
    readme.write_text("---\n- mit\n---\n")
    assert pin(str(folder)).license is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
KINDS = ("field", "field", "field", "json", "bytes", "cut", "deep")
FILES = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")


@settings(max_examples=200)
@given(data=st.data())
def test_whatever_stands_in_a_models_files_there_is_no_traceback(tiny: Path, data: Any) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(tiny, Path(place) / "model"))
        path = folder / data.draw(st.sampled_from(FILES))
        whole = path.read_bytes()
        kind = data.draw(
            st.sampled_from(["field", "field", "field", "json", "bytes", "cut", "deep"])
        )
        if kind == "field":
            value = json.loads(whole)
            value[data.draw(st.sampled_from(sorted(value)))] = data.draw(JSON)
            spoilt = json.dumps(value).encode()
        elif kind == "json":
            spoilt = json.dumps(data.draw(JSON)).encode()
        elif kind == "bytes":
            spoilt = data.draw(st.binary(max_size=40))
        elif kind == "cut":
            spoilt = whole[: data.draw(st.integers(0, len(whole) - 1))]
        else:
            spoilt = b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
        path.write_bytes(spoilt)
        said = ""
        try:
            use(folder)
        except MagpieError as error:
            said = str(error)
        assert "\n" not in said
        assert len(said) < 1000
