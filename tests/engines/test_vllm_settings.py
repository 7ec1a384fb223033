"""What vLLM is started with."""

from __future__ import annotations

import logging
import os
import random
from typing import Any

import pytest

from magpie_hub.engines.device import Device
from magpie_hub.engines.vllm.arguments import plan_arguments, vllm_environment
from magpie_hub.errors import UserError
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from tests.engines.test_device import A10, CPU, SMALL, gpus

KNOWN = {
    "block_size",
    "data_parallel_size",
    "disable_log_stats",
    "dtype",
    "enable_prefix_caching",
    "enforce_eager",
    "generation_config",
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "max_model_len",
    "max_num_batched_tokens",
    "max_num_seqs",
    "model",
    "quantization",
    "seed",
    "skip_tokenizer_init",
    "structured_outputs_config",
    "tensor_parallel_size",
    "trust_remote_code",
    "use_tqdm_on_load",
    "worker_extension_cls",
}


def plan(
    source: ModelSource = SMALL,
    device: Device = CPU,
    known: set[str] = KNOWN,
    short_job: bool = False,
    constrained: bool = False,
    **options: Any,
) -> dict[str, Any]:
    return plan_arguments(
        source,
        EngineOptions(**options),
        device,
        known,
        short_job=short_job,
        constrained=constrained,
    )


def test_what_is_set_wins() -> None:
    made = plan(max_num_seqs=8, max_model_len=512, dtype="float32", enforce_eager=True)
    assert (made["max_num_seqs"], made["max_model_len"]) == (8, 512)
    assert (made["dtype"], made["enforce_eager"]) == ("float32", True)


def test_a_short_job_on_a_cpu_is_not_compiled() -> None:
    assert plan(short_job=True)["enforce_eager"] is True
    assert plan(short_job=False)["enforce_eager"] is False
    assert plan(short_job=True, enforce_eager=False)["enforce_eager"] is False
    assert plan(short_job=True, device=gpus(A10, 1))["enforce_eager"] is False


def test_only_patterns_take_a_tokenizer() -> None:
    made = plan()
    assert (made["skip_tokenizer_init"], "structured_outputs_config" in made) == (True, False)
    made = plan(constrained=True)
    assert made["skip_tokenizer_init"] is False
    assert made["structured_outputs_config"] == {"backend": "xgrammar"}


def test_an_older_vllm_gets_only_what_it_knows() -> None:
    old = KNOWN - {"kv_cache_memory_bytes", "generation_config"}
    assert set(plan(known=old)) <= old


def test_other_arguments_are_handed_through() -> None:
    made = plan(engine_args={"max_num_batched_tokens": 4096, "block_size": 64})
    assert made["max_num_batched_tokens"] == 4096
    assert made["block_size"] == 64


def test_what_mends_vllm_on_a_cpu_cannot_be_replaced() -> None:
    theirs = {"worker_extension_cls": "theirs.Extension"}
    with pytest.raises(UserError, match="worker_extension_cls is taken on a CPU"):
        plan(engine_args=theirs)
    made = plan(device=gpus(A10, 1), engine_args=theirs)
    assert made["worker_extension_cls"] == "theirs.Extension"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("max_num_batched_token", "did you mean max_num_batched_tokens"),
        ("zzz", "no argument zzz"),
        ("max_num_seqs", "set max_num_seqs directly"),
        ("model", "leave it out"),
    ],
)
def test_an_argument_that_cannot_be_is_refused(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        plan(engine_args={name: 1})


def test_a_context_longer_than_the_models_is_refused() -> None:
    with pytest.raises(UserError, match="8192 tokens"):
        plan(max_model_len=9000)


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = dict(os.environ)
    drawn = random.Random(1)
    random.seed(1)
    with vllm_environment(CPU, in_process=True):
        random.seed(2)
        assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
        assert os.environ["VLLM_CONFIGURE_LOGGING"] == "0"
        assert os.environ["OMP_NUM_THREADS"] == "3", "the user's setting stays"
        os.environ["LD_PRELOAD"] = "what vLLM leaves behind"
    assert dict(os.environ) == before
    assert random.random() == drawn.random(), "and so are the random number generators"
    assert logging.getLogger("vllm").handlers, "warnings of vLLM do not fall through to stderr"
