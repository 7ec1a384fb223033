"""Top-level keys of a recipe that say which engine runs the generator, and how.

Some of them change how the model computes, and so its rows: `magpie_hub.recipe.fingerprint` says
which.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from magpie_hub.recipe.base import MOST, Line, Section, Words, json_lists, overridable
from magpie_hub.text import is_http


def _is_address(text: str) -> str:
    """An http address; messages never repeat it, since it may hold a password."""
    if not is_http(text):
        raise ValueError(
            "should be an http or https address with a valid port, for example "
            "http://127.0.0.1:8000/v1"
        )
    return text


Address = Annotated[Words, AfterValidator(_is_address)]


EngineName = Literal["auto", "vllm", "transformers", "server"]
"""The engines, each a folder of `magpie_hub/engines`; "auto" takes the first that can run here."""


class EngineOptions(Section):
    """How an engine is started; None: chosen from the model and the devices found."""

    trust_model_code: bool = overridable(False, "Let the model's repository run its own code.")
    engine: EngineName = overridable(
        "auto", "auto: vLLM if it can run on this machine, else transformers."
    )
    base_url: Address | None = overridable(
        None, "Address of an OpenAI-compatible server, for engine server.", repr=False
    )
    max_num_seqs: int | None = overridable(None, "Slots: sequences decoded at once.", ge=1, le=MOST)
    max_model_len: int | None = overridable(None, "Context length in tokens.", ge=16, le=MOST)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = overridable(
        "auto", "Weights' dtype."
    )
    quantization: Line | None = overridable(None, "vLLM quantization method, for example fp8.")
    tensor_parallel_size: int | None = overridable(
        None, "GPUs for one copy of the model.", ge=1, le=MOST
    )
    data_parallel_size: int = overridable(1, "Copies of the model.", ge=1, le=MOST)
    gpu_memory_utilization: float | None = overridable(
        None, "Share of a GPU's memory that vLLM may take.", gt=0, le=1
    )
    enforce_eager: bool | None = overridable(
        None, "Skip compilation: a faster start, slower decoding."
    )
    batch_invariant: bool = overridable(
        False,
        "vLLM's mode whose tokens do not depend on the batch: GPUs only, slower.",
    )
    in_process: bool | None = overridable(None, "Run vLLM's core in the calling process.")
    engine_args: dict[str, JsonValue] = Field(
        default_factory=dict, description="Other fields of vLLM's EngineArgs, by name."
    )

    @field_validator("engine_args", mode="before")
    @classmethod
    def _lists(cls, given: Any) -> Any:
        return json_lists(given)

    @model_validator(mode="after")
    def _one_engine(self) -> EngineOptions:
        if self.base_url is not None and self.engine not in ("auto", "server"):
            raise ValueError(f"base_url is for engine server, not for engine {self.engine}")
        if self.engine == "server" and self.base_url is None:
            raise ValueError("engine server needs base_url, for example http://127.0.0.1:8000/v1")
        return self
