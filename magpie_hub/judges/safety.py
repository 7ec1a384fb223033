"""Judge `safety`: what a guard model of the Llama-Guard kind says of a question and its answer.

The guard reads both under its own chat template and writes "safe", or "unsafe" and, on the next
line, the categories: "S1,S10". What it wrote is kept as the published column has it; what it means
is read strictly, and anything else is no verdict.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from magpie_hub.engines.base import Engine, Sampling
from magpie_hub.errors import ChatFormatError, one_line
from magpie_hub.judges.base import Judge, JudgeContext, Save, each
from magpie_hub.judges.columns import Column
from magpie_hub.judges.conversation import Conversations
from magpie_hub.judges.models import JudgeModel, JudgeSetup
from magpie_hub.models.source import generation_eos
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label

MAX_TOKENS = 64
"""Bound of a verdict: "unsafe" with all of a guard's 14 categories stays under it."""

READING = 1
"""Version of how a row is put and a verdict is read; raised when they would give other verdicts."""

_VERDICT = re.compile(r"safe|unsafe(\s+(?P<categories>[A-Z]\d{1,2}(\s*,\s*[A-Z]\d{1,2})*))?")


class Verdict(NamedTuple):
    """What a guard's reply means.

    Attributes:
        safe: Whether it objects to nothing.
        categories: What it objects to, by the guard's own codes ("S1", "O3"); may be empty.
    """

    safe: bool
    categories: list[str]


def read_verdict(text: str) -> Verdict | None:
    """Reads a guard's reply, white space around it ignored; None if it is no verdict."""
    match = _VERDICT.fullmatch(text.strip())
    if match is None:
        return None
    named = match["categories"]
    categories = [part.strip() for part in named.split(",")] if named else []
    return Verdict(not text.strip().startswith("unsafe"), categories)


class SafetyJudge(Judge):
    """Asks a guard model; see `magpie_hub.judges.base.Judge`.

    A row that does not fit the guard's context fails as "too_long", words that its template
    refuses as "unrenderable", and an answer that is no verdict as "unparsable", with its first
    words.

    Args:
        model: The guard; its chat template asks.
    """

    name = "safety"
    says = "whether instruction and response are safe"
    off = "**No guard:** rows were not judged for safety."
    columns = (
        Column(
            "llama_guard_2",
            "text",
            "What the guard wrote, whichever guard it was; the name is that of the published sets.",
        ),
        Column(
            "safe",
            "truth",
            "Whether the guard objects to nothing.",
            counted="labels",
            values=("safe", "unsafe"),
            heading="Safety",
            in_examples=True,
        ),
        Column(
            "safety_categories",
            "texts",
            "What it objects to, by its own codes; empty for a safe row.",
            counted="labels",
            heading="Safety",
        ),
    )

    def __init__(self, model: JudgeModel) -> None:
        self.model: JudgeModel = model

    @classmethod
    def of(cls, setup: JudgeSetup) -> Self:
        """The guard of `judges.guard`."""
        return cls(setup.model(cls.name))

    def settings(self) -> dict[str, Any]:
        """What determines the verdicts."""
        return {**self.model.engine_settings, "max_tokens": MAX_TOKENS, "reading": READING}

    def check(self) -> None:
        """Looks whether the model can be had and run, and its template takes an answer to judge."""
        self._open()
        self.model.check_engine()

    async def label(self, items: Sequence[TurnText], save: Save, context: JudgeContext) -> None:
        """Asks about every input, as many at once as the engine has slots."""
        conversations, eos = await asyncio.to_thread(self._open)
        sampling = Sampling(max_tokens=MAX_TOKENS, temperature=0.0, stop_ids=eos)
        async with context.start() as engine:

            async def one(item: TurnText) -> None:
                save([await _ask(engine, conversations, sampling, item)])

            await each(items, one, engine)

    def _open(self) -> tuple[Conversations, tuple[int, ...]]:
        source = self.model.described()
        conversations = Conversations.of(source, trust_remote_code=self.model.trust_remote_code)
        return conversations, generation_eos(source)


async def _ask(
    engine: Engine, conversations: Conversations, sampling: Sampling, item: TurnText
) -> Label:
    try:
        prompt = conversations.encode(item.instruction, item.response or "", ask=True)
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
