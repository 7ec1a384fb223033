"""A model's folder: what its files say about the model, without loading a weight.

Everything but `folder_fingerprint` reads only `config.json` and the headers of safetensors files,
and so is fast for a model of any size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from magpie_hub.errors import ModelError
from magpie_hub.models.files import Config, Index, TokenizerConfig, as_kind, read_as, read_header
from magpie_hub.models.weights import hash_file
from magpie_hub.torch_env import import_torch, importing

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json")
"""Any one of these makes a folder that a tokenizer can be loaded from (`*.tiktoken` too)."""

_FINGERPRINTED = (".json", ".jinja", ".model", ".txt", ".tiktoken", ".py")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model's `config.json` says about its size at run time.

    Attributes:
        context_length: Tokens that the model was made for.
        kv_bytes_per_token: Keys and values that one token leaves in the cache, in 16 bit.
        quantization: Method that the checkpoint's weights are already stored in, or None.
    """

    context_length: int | None = None
    kv_bytes_per_token: int | None = None
    quantization: str | None = None


def shape_of(config: dict[str, Any]) -> Shape:
    """Reads a model's shape from its `config.json`.

    Args:
        config: The parsed file. Models with vision or audio keep the language model's part under
            `text_config`.

    Raises:
        ModelError: Something in it has another type than transformers writes.
    """
    read = as_kind(Config, config, "config.json")
    text = read.language
    layers, heads, hidden = text.num_hidden_layers, text.num_attention_heads, text.hidden_size
    kv_heads = text.num_key_value_heads or heads
    head_dim = text.head_dim
    if not head_dim and isinstance(hidden, int) and isinstance(heads, int) and heads:
        head_dim = hidden // heads
    kv_bytes = None
    if layers and kv_heads and head_dim and isinstance(kv_heads, int) and isinstance(head_dim, int):
        kv_bytes = 2 * layers * kv_heads * head_dim * 2
    return Shape(
        context_length=text.max_position_embeddings or None,
        kv_bytes_per_token=kv_bytes,
        quantization=read.quantization_config.quant_method if read.quantization_config else None,
    )


def weight_files(folder: Path) -> list[Path]:
    """Lists the safetensors files that make up the model.

    `consolidated*` is the same weights again in another layout (Mistral's own).
    """
    return sorted(
        path for path in folder.glob("*.safetensors") if not path.name.startswith("consolidated")
    )


def missing_shards(folder: Path) -> list[str]:
    """Lists the weight files that the folder's index names and the folder lacks."""
    index = read_as(Index, folder / "model.safetensors.index.json")
    shards = set(index.weight_map.values())
    return sorted(shard for shard in shards if not (folder / shard).is_file())


def count_parameters(folder: Path) -> int | None:
    """Sums the elements of every tensor, from the safetensors headers; None if there are none.

    Raises:
        ModelError: A file is no safetensors file, or not all of one.
    """
    tensors = (tensor for path in weight_files(folder) for tensor in read_header(path).values())
    return sum(prod(tensor.shape) for tensor in tensors) or None


def license_of(folder: Path) -> str | None:
    """Returns the licence that the folder's README.md declares in its front matter.

    Raises:
        ModelError: It declares several, or something that is none.
    """
    readme = folder / "README.md"
    if not readme.is_file():
        return None
    from huggingface_hub import metadata_load

    try:
        metadata = metadata_load(readme)
    except Exception:  # noqa: BLE001 - a broken README does not make the model unusable
        return None
    if not isinstance(metadata, dict):
        return None
    said = metadata.get("license_name") or metadata.get("license")
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if said is not None and not isinstance(said, str):
        raise ModelError(f"{readme}: license should be one licence, not {said!r:.60}; name it.")
    return said


def check_complete(folder: Path, name: str, *, weights: bool = True) -> None:
    """Refuses a folder that no model can be loaded from.

    Args:
        folder: Where the files are.
        name: The model's name as the user wrote it, for the message.
        weights: Whether weights are needed too, or only a tokenizer.

    Raises:
        ModelError: `config.json`, the tokenizer or a weight file is missing, or weights are cut
            short.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{name} has no config.json, so it is not a transformers model; name a repository or "
            f"folder that holds config.json, a tokenizer and *.safetensors."
        )
    if not any((folder / file).is_file() for file in TOKENIZER_FILES) and not any(
        folder.glob("*.tiktoken")
    ):
        raise ModelError(
            f"{name} has no tokenizer ({', '.join(TOKENIZER_FILES[:2])}, …); save the model's "
            f"tokenizer beside its weights."
        )
    if not weights:
        return
    if not weight_files(folder):
        raise ModelError(
            f"{name} has no *.safetensors weights; name a model that has, or save this one again "
            f"with save_pretrained()."
        )
    if missing := missing_shards(folder):
        raise ModelError(
            f"{name} lacks {len(missing)} of its weight files ({missing[0]}, …); fetch the model "
            f"again."
        )
    for path in weight_files(folder):
        read_header(path)


def check_remote_code(folder: Path, name: str, trust_remote_code: bool) -> None:
    """Refuses a model that runs its repository's own Python, unless that was granted.

    A model whose architecture transformers has of its own does not need the repository's copy,
    even where its config offers one.

    Raises:
        ModelError: The model needs remote code and `trust_remote_code` is false.
    """
    if trust_remote_code:
        return
    config = read_as(Config, folder / "config.json")
    tokenizer = read_as(TokenizerConfig, folder / "tokenizer_config.json")
    wants = False
    if config.auto_map is not None:
        import_torch()
        with importing():
            from transformers import CONFIG_MAPPING

        wants = config.model_type not in CONFIG_MAPPING
    if not wants and "AutoTokenizer" in (tokenizer.auto_map or {}):
        wants = not (folder / "tokenizer.json").is_file()
    if wants:
        raise ModelError(
            f"{name} runs Python code from its own repository; read that code, then set "
            f"trust_model_code: true in the recipe, or choose another model."
        )


def folder_fingerprint(folder: Path) -> str:
    """Returns "local-" and 12 hex digits that change when the model in the folder changes.

    Every byte counts, those of weights too. Weights are read once and their hash is cached
    (`magpie_hub.models.weights`), so that the next call is fast for a folder of any size.

    Raises:
        ModelError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        if path.suffix == ".safetensors":
            content = hash_file(path).encode()
        elif path.suffix in _FINGERPRINTED:
            content = path.read_bytes()
        else:
            continue
        digest.update(path.name.encode() + b"\0")
        digest.update(hashlib.sha256(content).digest())
    return f"local-{digest.hexdigest()[:12]}"
