"""A toy generator in place of weights: a byte chat format and an engine that follows a script.

`ToyChat` has the surface of `ChatFormat` that rollouts use; a token is a byte, and ids from 256 on
are its special tokens. `ToyEngine` answers a prompt from the request's seed alone, as a real engine
with per-request seeds does, and can be told to be slow, to die, or to write what a test needs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

from magpie_hub.chat.format import Said
from magpie_hub.engines.base import Completion, EngineInfo, EngineStats, Sampling
from magpie_hub.errors import EngineError

BOS, USER, ASSISTANT, SYSTEM, END = 256, 257, 258, 259, 260
SPECIAL = {BOS: "<s>", USER: "<user>", ASSISTANT: "<assistant>", SYSTEM: "<system>", END: "<end>"}
Turns = Sequence[tuple[Sequence[int], Sequence[int]]]


class ToyChat(Any):  # stands for a ChatFormat
    """A chat format over bytes."""

    stop_ids = (END,)
    answer_stop_ids = (END,)
    special_ids = frozenset(SPECIAL)
    markers = ("<assistant>", "<user>")

    def query_prompt(self, turns: Turns, system: str | None = None) -> list[int]:
        prompt = [BOS]
        if system:
            prompt += [SYSTEM, *system.encode(), END]
        for query, answer in turns:
            prompt += [USER, *query, END, ASSISTANT, *answer, END]
        return [*prompt, USER]

    def answer_prompt(
        self, turns: Turns, query: Sequence[int], system: str | None = None
    ) -> list[int]:
        return [*self.query_prompt(turns, system), *query, END, ASSISTANT]

    def decode(self, ids: Sequence[int]) -> str:
        words, run = "", bytearray()
        for i in ids:
            if i < 256:
                run.append(i)
            else:
                words += run.decode(errors="replace") + SPECIAL[i]
                run = bytearray()
        return words + run.decode(errors="replace")

    def cut_query(self, ids: Sequence[int]) -> tuple[Sequence[int], bool]:
        return ids, False

    def said(self, role: str, ids: Sequence[int], text: str | None = None) -> Said:
        return Said(tuple(ids))

    def trim(self, ids: Sequence[int]) -> Sequence[int]:
        return tuple(bytes(ids).strip()) if all(i < 256 for i in ids) else tuple(ids)

    def trim_end(self, ids: Sequence[int]) -> Sequence[int]:
        return tuple(bytes(ids).rstrip()) if all(i < 256 for i in ids) else tuple(ids)

    def to_json(self) -> dict[str, Any]:
        return {"pre_query": {"ids": [BOS, USER], "text": "<s><user>"}}


WORDS = (
    "how what why river copper night write a poem list sort numbers explain the moon to me".split()
)

Script = Callable[[str, Sequence[int], Sampling], str | None]
"""Takes "user" or "assistant", the prompt and the sampling; returns words, or None for default."""


def speak(role: str, seed: int) -> str:
    """What the toy model says by default: a function of the seed."""
    draw = random.Random(seed)
    words = " ".join(draw.choices(WORDS, k=draw.randint(4, 12)))
    return f"{words} {seed % 10_000_000}?" if role == "user" else f"Well, {words}. {seed}."


class ToyEngine:
    """An engine that follows a script.

    Args:
        script: What to say.
        slots: Sequences at once; a semaphore keeps to it.
        delay: Most seconds that a completion takes, drawn from its seed.
        dies_after: Completions after which every request fails.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        slots: int = 8,
        delay: float = 0.0,
        dies_after: int | None = None,
        max_model_len: int = 100_000,
    ) -> None:
        self.info = EngineInfo("toy", "1", "none", "none", slots, max_model_len)
        self.stats = EngineStats(running=0)
        self.calls: list[tuple[tuple[int, ...], Sampling]] = []
        self.most_at_once = 0
        self.closed = False
        self.resting = False
        self._script = script or (lambda role, prompt, sampling: None)
        self._delay = delay
        self._dies_after = dies_after
        self._gate = asyncio.Semaphore(slots)

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        async with self._gate:
            self.stats.running = (self.stats.running or 0) + 1
            self.most_at_once = max(self.most_at_once, self.stats.running)
            try:
                await asyncio.sleep(random.Random(sampling.seed ^ 7).random() * self._delay)
            finally:
                self.stats.running -= 1
        self.calls.append((tuple(prompt), sampling))
        if self._dies_after is not None and len(self.calls) > self._dies_after:
            raise EngineError("the toy engine is dead")
        role = "user" if prompt[-1] == USER else "assistant"
        words = self._script(role, prompt, sampling)
        ids = tuple((speak(role, sampling.seed) if words is None else words).encode())
        self.stats.decoded_tokens += len(ids) + 1
        self.stats.prompt_tokens += len(prompt)
        if len(ids) > sampling.max_tokens:
            return Completion(ids[: sampling.max_tokens], "length")
        return Completion(ids, "stop", END)

    async def rest(self) -> None:
        self.resting = True

    async def wake(self) -> None:
        self.resting = False

    async def close(self) -> None:
        self.closed = True
