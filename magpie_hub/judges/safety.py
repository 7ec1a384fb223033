"""Judge `safety`: what a guard model of the Llama-Guard kind says of a question and its answer.

The guard reads both under its own chat template and writes "safe", or "unsafe" and, on the next
line, the categories: "S1,S10". What it wrote is kept as the published column has it; what it means
is read strictly, and anything else is no verdict.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from magpie_hub.chat.codec import one_line
from magpie_hub.engines.base import Engine, Sampling
from magpie_hub.errors import ChatFormatError
from magpie_hub.judges.base import JudgeInput, Save
from magpie_hub.judges.conversation import Conversations
from magpie_hub.judges.flow import StartEngine, each
from magpie_hub.judges.model_files import ModelFiles
from magpie_hub.models.source import generation_eos
from magpie_hub.store.labels import Label

MAX_TOKENS = 64
"""Bound of a verdict: "unsafe" with all of a guard's 14 categories stays under it."""

READING = 1
"""Version of how a row is put and a verdict is read; raised when they would give other verdicts."""

_VERDICT = re.compile(r"safe|unsafe(\s+(?P<categories>[A-Z]\d{1,2}(\s*,\s*[A-Z]\d{1,2})*))?")


class Verdict(NamedTuple):
    """What a guard's words mean.

    Attributes:
        safe: Whether it objects to nothing.
        categories: What it objects to, by the guard's own codes ("S1", "O3"); may be empty.
    """

    safe: bool
    categories: list[str]


def read_verdict(text: str) -> Verdict | None:
    """Reads a guard's words, white space around them ignored; None if they are no verdict."""
    match = _VERDICT.fullmatch(text.strip())
    if match is None:
        return None
    named = match["categories"]
    categories = [part.strip() for part in named.split(",")] if named else []
    return Verdict(not text.strip().startswith("unsafe"), categories)


class SafetyJudge:
    """Asks a guard model; see `magpie_hub.judges.base.Judge`.

    A row that does not fit the guard's context fails as "too_long", words that its template
    refuses as "unrenderable", and an answer that is no verdict as "unparsable", with its first
    words.

    Args:
        model: A Hub id or a folder; it names the tokenizer whose chat template asks.
        revision: Branch, tag or commit; None for the newest.
        start: Gives the engine of that model while labels are made.
        home: The folder of packaged models; None for the person's own.
        trust_remote_code: Whether the model may run its repository's own code.
    """

    name = "safety"
    columns = ("llama_guard_2", "safe", "safety_categories")

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        *,
        start: StartEngine,
        home: Path | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self._files = ModelFiles(model, revision, home, trust_remote_code)
        self._start = start

    def settings(self) -> dict[str, Any]:
        """What determines the verdicts.

        Raises:
            ModelError: No revision was given and none can be found.
        """
        return {**self._files.said, "max_tokens": MAX_TOKENS, "reading": READING}

    def check(self) -> None:
        """Looks whether the model can be had and its chat template takes an answer to judge.

        Raises:
            ModelError: One of the two does not hold.
        """
        self._open()

    async def label(self, items: Sequence[JudgeInput], save: Save) -> None:
        """Asks about every subject, as many at once as the engine has slots.

        Raises:
            ModelError: As `check`.
            EngineError: The engine failed.
        """
        if not items:
            return
        conversations, eos = await asyncio.to_thread(self._open)
        sampling = Sampling(max_tokens=MAX_TOKENS, temperature=0.0, stop_ids=eos)
        async with self._start() as engine:

            async def one(item: JudgeInput) -> None:
                save([await _ask(engine, conversations, sampling, item)])

            await each(items, one, engine)

    def _open(self) -> tuple[Conversations, tuple[int, ...]]:
        source = self._files.described()
        conversations = Conversations.of(source, trust_remote_code=self._files.trust_remote_code)
        return conversations, generation_eos(source)


async def _ask(
    engine: Engine, conversations: Conversations, sampling: Sampling, item: JudgeInput
) -> Label:
    try:
        prompt = conversations.encode(item.instruction, item.response, ask=True)
    except ChatFormatError as error:
        return Label(item.row_id, failure=f"unrenderable:{one_line(error, 80)}")
    if len(prompt) + sampling.max_tokens > engine.info.max_model_len:
        return Label(item.row_id, failure="too_long")
    completion = await engine.generate(prompt, sampling)
    text = conversations.decode(completion.ids)
    verdict = read_verdict(text)
    if verdict is None or completion.finish_reason != "stop":
        return Label(item.row_id, failure=f"unparsable:{one_line(text, 60)}")
    return Label(
        item.row_id,
        {
            "llama_guard_2": text,
            "safe": verdict.safe,
            "safety_categories": verdict.categories,
        },
    )
