"""A model's files, read strictly: JSON files, and the headers of its weights.

The files may come from anywhere, a broken download included. A field that is not as transformers
writes it raises an error of one line that names the file; fields that are not read may hold
anything.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from magpie_hub.errors import ModelError

MOST_JSON = 256 * 2**20
"""Largest JSON file that is read, in bytes; the largest index of weights has 20 million."""

MOST_HEADER = 100_000_000
"""Largest header of a safetensors file, in bytes; the format's own bound."""

Count = Annotated[int, Field(ge=0, lt=2**40)]
_ByLayer = Count | list[Count | None] | None


class _Read(BaseModel):
    """Strict types; fields that are not read may hold anything."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class LanguageShape(_Read):
    """The shape of a language model, by the names of `config.json`.

    A few architectures give heads and sizes by layer, as lists.
    """

    num_hidden_layers: Count | None = None
    num_attention_heads: _ByLayer = None
    num_key_value_heads: _ByLayer = None
    hidden_size: _ByLayer = None
    head_dim: _ByLayer = None
    max_position_embeddings: Count | None = None
    vocab_size: Count | None = None


class _Quantization(_Read):
    quant_method: str | None = None


class Config(LanguageShape):
    """`config.json`, as far as it is read here."""

    architectures: list[str] | None = None
    model_type: str | None = None
    auto_map: dict[str, Any] | None = None
    quantization_config: _Quantization | None = None
    text_config: LanguageShape | None = None

    @property
    def language(self) -> LanguageShape:
        """The language model's part; models with vision or audio keep it apart."""
        return self if self.text_config is None else self.text_config


class Eos(_Read):
    """The ids that end a text, in `generation_config.json` or `config.json`."""

    eos_token_id: Count | list[Count] | None = None

    @property
    def ids(self) -> tuple[int, ...] | None:
        """The ids; None if the file names none."""
        eos = self.eos_token_id
        return tuple(eos) if isinstance(eos, list) else None if eos is None else (eos,)


class WithEos(Eos):
    """`config.json`, for the ids that end a text; they may be in the language model's part."""

    text_config: Eos | None = None


class TokenizerConfig(_Read):
    """`tokenizer_config.json`, as far as it is read here."""

    auto_map: dict[str, Any] | None = None


class Index(_Read):
    """`model.safetensors.index.json`: which file holds which tensor."""

    weight_map: dict[str, Annotated[str, Field(min_length=1)]] = {}


class Tensor(_Read):
    """A tensor's place in a safetensors file.

    Attributes:
        shape: Its sizes.
        data_offsets: First byte, and first byte after it, counted from the header's end.
    """

    shape: list[Count]
    data_offsets: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)]


_HEADER = TypeAdapter(dict[str, Tensor])

Kind = TypeVar("Kind", bound=_Read)


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file; {} if there is no such file.

    Raises:
        ModelError: The file holds something else, or cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MOST_JSON:
            raise ModelError(f"{path} is too large to be what its name says; fetch it again.")
        value = from_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise ModelError(f"{path} is not readable as JSON ({error}); fetch it again.") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} does not hold a JSON object; fetch it again.")
    return value


def read_as(kind: type[Kind], path: Path) -> Kind:
    """Reads a JSON file (`{}` if there is none) and validates it against a schema.

    Raises:
        ModelError: Something in it has another type; the line names it.
    """
    return as_kind(kind, read_json(path), path.name if path.parent == Path() else str(path))


def as_kind(kind: type[Kind], value: dict[str, Any], what: str) -> Kind:
    """Validates a JSON object against a schema; see `read_as`."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise ModelError(f"{what}: {_first(error)}; fetch it again, or correct it.") from None


def read_header(path: Path) -> dict[str, Tensor]:
    """Returns the tensors that a safetensors file says it holds.

    Raises:
        ModelError: It is no safetensors file, or not all of one.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            begin = file.read(8)
            length = struct.unpack("<Q", begin)[0] if len(begin) == 8 else 0
            if begin == b"version " or not 2 <= length <= min(MOST_HEADER, size - 8):
                raise ModelError(_no_weights(path, begin))
            header = from_json(file.read(length))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).") from None
    except ValueError:
        raise ModelError(_no_weights(path, begin)) from None
    if isinstance(header, dict):
        header.pop("__metadata__", None)
    try:
        tensors = _HEADER.validate_python(header, strict=True)
    except ValidationError as error:
        raise ModelError(f"{path} has a broken header ({_first(error)}); fetch it again.") from None
    end = max((tensor.data_offsets[1] for tensor in tensors.values()), default=0)
    if end > size - 8 - length:
        raise ModelError(
            f"{path} is cut short: it holds {size:,} of {end + 8 + length:,} bytes; fetch it again."
        )
    return tensors


def _no_weights(path: Path, begin: bytes) -> str:
    if begin == b"version ":
        return f"{path} is a pointer of Git LFS and no weights; bring them with `git lfs pull`."
    return f"{path} is not a safetensors file, or cut short; fetch it again."


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # After the field come the types that were tried.
    place = ".".join(str(part) for part in first["loc"] if str(part).isidentifier())
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{place}: {message}" if place else message
