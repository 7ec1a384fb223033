"""The engine contract: token ids in, token ids out.

An engine knows nothing of text, chat templates or rows. It has one method that matters,
`generate`, a coroutine; a caller keeps many of them in flight. What differs
between vLLM, transformers and a server stays behind this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from magpie_hub.recipe.sampling import LoopDetection

FinishReason = Literal["stop", "length", "repetition"]
"""Why a completion ended: a stop id, the token limit, or a detected loop."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one completion is drawn.

    Attributes:
        max_tokens: Upper bound on new tokens, the stop token not counted.
        temperature: 0 means greedy.
        top_p: Nucleus mass in (0, 1].
        top_k: 0 means off.
        min_p: 0 means off.
        repetition_penalty: 1 means off.
        seed: Seed of this request's own random stream (0 ≤ seed < 2**63).
        stop_ids: Token ids that end the completion. Without a pattern an engine stops on these
            alone; it neither adds nor drops an end-of-sequence id of its own.
        loop: Loop detection, or None for off.
        pattern: Regular expression that the completion's text, as a whole, matches; None for off.
            The engine must have been started for it (`constrained=True`). A completion that is not
            cut off (by "length", or by "repetition" where `loop` asks for it) ends with "stop" and
            matches, by `re.fullmatch`; it ends on one of `stop_ids` or another special token of
            the tokenizer, none of which can come before the pattern is complete. What may stand
            in it: `magpie_hub.engines.regex.portable`.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    stop_ids: tuple[int, ...] = ()
    loop: LoopDetection | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back for one prompt.

    Attributes:
        ids: New token ids, without the stop token.
        finish_reason: Why it ended.
        stop_id: The stop token, when `finish_reason` is "stop".
        cached_tokens: Prompt tokens served from the prefix cache; None where unknown.
    """

    ids: tuple[int, ...]
    finish_reason: FinishReason
    stop_id: int | None = None
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What ran, for the manifest and for the capacity of the rollouts.

    Attributes:
        name: "vllm", "transformers" or "server".
        version: Version of that library (or what the server says of itself).
        device: For example "cpu", "NVIDIA H200 x1", or the server's address.
        dtype: Weights' dtype as run.
        slots: Sequences that the engine decodes at once; rollouts keep about that many in flight.
        max_model_len: Context length in tokens, prompt and completion together.
        settings: What was handed to the engine, for the manifest (no secrets).
    """

    name: str
    version: str
    device: str
    dtype: str
    slots: int
    max_model_len: int
    settings: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> str:
        """Says how an engine runs.

        For example:

            vllm 0.32.0: float32 on cpu (2 threads), 64 slots, context 4,096, KV cache 5.2 GiB
            (118,000 tokens, 28 rows of full length), 4,096 tokens a step, not compiled

        What an engine does not tell is left out. Every word of it is in the journal's session, too.
        """
        found = self.settings
        threads = found.get("threads")
        words = [
            # A server does not say what it computes with.
            ("" if self.dtype == "unknown" else f"{self.dtype} on ")
            + self.device
            + (f" ({threads} threads)" if threads else ""),
            f"{self.slots:,} slots",
            f"context {self.max_model_len:,}",
        ]
        if cache := self._cache():
            words.append(cache)
        if tokens := found.get("max_num_batched_tokens"):
            words.append(f"{tokens:,} tokens a step")
        if refill := found.get("refill_slots"):
            words.append(f"refilled {refill:,} at a time")
        if "enforce_eager" in found:
            words.append("not compiled" if found["enforce_eager"] else "compiled")
        return f"{self.name} {self.version}: {', '.join(words)}"

    def _cache(self) -> str | None:
        size, tokens = (
            self.settings.get(name) for name in ("kv_cache_memory_bytes", "kv_cache_tokens")
        )
        words = f"KV cache {size / 2**30:.1f} GiB" if isinstance(size, int) else "KV cache"
        if isinstance(tokens, int):
            rows = tokens // self.max_model_len
            return f"{words} ({tokens:,} tokens, {rows:,} rows of full length)"
        return words if isinstance(size, int) else None


@dataclass(slots=True)
class EngineStats:
    """Counters since the engine started. What an engine cannot know stays None.

    Attributes:
        prompt_tokens: Prompt tokens submitted.
        cached_tokens: Of these, served from the prefix cache.
        decoded_tokens: New tokens, stop tokens included.
        steps: Decode steps.
        busy_slot_steps: Sum over steps of the sequences running in that step; occupancy is
            busy_slot_steps / (steps * slots).
        running: Sequences running now.
    """

    prompt_tokens: int = 0
    cached_tokens: int | None = None
    decoded_tokens: int = 0
    steps: int | None = None
    busy_slot_steps: int | None = None
    running: int | None = None


@runtime_checkable
class Engine(Protocol):
    """The whole of what the rest of the package asks of an engine."""

    info: EngineInfo
    stats: EngineStats

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        """Completes one prompt.

        Cancelling the coroutine frees the slot.

        Args:
            prompt: Token ids, shorter than `info.max_model_len`.
            sampling: How to draw. `max_tokens` may be cut to what the context still holds; the
                completion then ends with finish reason "length".

        Raises:
            EngineError: The engine died, or refuses the request.
        """
        ...

    async def rest(self) -> None:
        """Gives back what it can of the device without losing its weights, for another model.

        No request may be running. Calling it twice is harmless; `wake` must come before the next
        request.
        """
        ...

    async def wake(self) -> None:
        """Takes the device again. Harmless while awake."""
        ...

    async def close(self) -> None:
        """Ends the engine and frees the device. Calling it twice is harmless."""
        ...


def loops(ids: Sequence[int], loop: LoopDetection) -> bool:
    """Whether the tail of `ids` is one pattern, `loop.count` times back to back."""
    for size in range(max(1, loop.min_pattern), loop.max_pattern + 1):
        length = size * loop.count
        if length > len(ids):
            return False
        # Cheap test first: most tails end in two tokens that differ.
        if ids[-1] == ids[-1 - size] and ids[-length:-size] == ids[size - length :]:
            return True
    return False
