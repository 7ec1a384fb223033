"""What a person may set on an engine. Recipe fields of the same names end up here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

EngineName = Literal["auto", "vllm", "transformers", "server"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Engine settings; None means "choose from the model and the devices found".

    Attributes:
        engine: Which engine; "auto" takes vLLM if it can be imported and the device fits, else
            transformers.
        base_url: OpenAI-compatible server, for engine "server" ("http://127.0.0.1:8000/v1").
        max_num_seqs: Slots: sequences decoded at once.
        max_model_len: Context length in tokens.
        dtype: Weights' dtype ("auto", "bfloat16", "float16", "float32").
        quantization: vLLM's name of a quantization method ("fp8", "awq", …).
        tensor_parallel_size: GPUs that one copy of the model is spread over.
        data_parallel_size: Copies of the model.
        gpu_memory_utilization: Share of a GPU's memory that vLLM may take, in (0, 1].
        enforce_eager: Skip compilation: starts sooner, decodes slower.
        batch_invariant: vLLM's mode whose tokens do not depend on what else is in the batch.
        in_process: Run vLLM's core in this process rather than in one of its own. A script without
            a main guard needs that.
        trust_remote_code: Let the model's repository run its own Python code.
        engine_args: Anything else that vLLM's EngineArgs knows, handed through by name.
    """

    engine: EngineName = "auto"
    base_url: str | None = field(default=None, repr=False)
    max_num_seqs: int | None = None
    max_model_len: int | None = None
    dtype: str = "auto"
    quantization: str | None = None
    tensor_parallel_size: int | None = None
    data_parallel_size: int = 1
    gpu_memory_utilization: float | None = None
    enforce_eager: bool | None = None
    batch_invariant: bool = False
    in_process: bool | None = None
    trust_remote_code: bool = False
    engine_args: dict[str, Any] = field(default_factory=dict)
