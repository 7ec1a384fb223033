"""Judge `base_answer`: what a model that was never aligned answers to the same instruction.

The reward of such an answer, taken from the row's own, is the published `reward_difference`: what
alignment adds (section 3.1 of arXiv 2406.08464v2). A base model has no chat template; it is shown
a few exchanges and goes on with the next one (the idea of URIAL, arXiv 2312.01552; the words are
our own, in `prompts/base_answer.jinja`). It never stops by itself: its text is looked at every
`STRETCH` tokens and cut where it begins another exchange.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Self

from magpie_hub.chat.codec import Codec, Ids
from magpie_hub.engines.base import Engine, Sampling
from magpie_hub.judges.base import Judge, JudgeContext, Save, each
from magpie_hub.judges.columns import Column
from magpie_hub.judges.models import JudgeModel, JudgeSetup
from magpie_hub.judges.sanitize import escape_special_tokens, special_marks
from magpie_hub.models.source import ModelSource, generation_eos, load_tokenizer
from magpie_hub.recipe.sampling import LoopDetection
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label

if TYPE_CHECKING:
    import jinja2

MAX_TOKENS = 1024
"""Longest answer, in tokens."""

STRETCH = 256
"""Tokens generated between two looks at the text. What was generated is in the prefix cache."""

LOOP = LoopDetection()
"""The recipe's default: an answer ends when it says the same five times in a row."""

READING = 1
"""Version of how a message is put in and an answer is cut; raised when they would give others."""

_NEXT = re.compile(r"^=== (Message|Answer)\b", re.MULTILINE)


class BaseAnswerJudge(Judge):
    """Lets a base model answer; see `magpie_hub.judges.base.Judge`.

    What it says is data, good or bad, an empty answer too. A row whose prompt and longest answer
    do not fit the context together fails as "too_long": an answer that was cut for room compares
    with nothing.

    Args:
        model: The base model.
        max_tokens: Longest answer, in tokens.
    """

    name = "base"
    says = "a base model's answer, from whose reward the difference is taken"
    columns = (
        Column("base_output", "text", "What the base model answered to the instruction."),
        Column(
            "base_reward",
            "number",
            "The reward of that answer.",
            by="reward",
            counted="numbers",
        ),
        Column(
            "reward_difference",
            "number",
            "`instruct_reward` less `base_reward`: what alignment has gained here.",
            by="reward",
            counted="numbers",
            in_examples=True,
            drift="mean",
        ),
    )

    def __init__(self, model: JudgeModel, *, max_tokens: int = MAX_TOKENS) -> None:
        self.model: JudgeModel = model
        self._max_tokens = max_tokens

    @classmethod
    def of(cls, setup: JudgeSetup) -> Self:
        """The base model of `judges.reward.base`."""
        return cls(setup.model(cls.name))

    def settings(self) -> dict[str, Any]:
        """What determines the answers; the prompt counts by its words."""
        return {
            **self.model.engine_settings,
            "prompt": hashlib.sha256(_template_text().encode()).hexdigest()[:12],
            "max_tokens": self._max_tokens,
            "stretch": STRETCH,
            "loop": LOOP.model_dump(),
            "reading": READING,
        }

    def check(self) -> None:
        """Looks whether the model can be had and run, and its tokenizer loads."""
        self._open()
        self.model.check_engine()

    async def label(self, items: Sequence[TurnText], save: Save, context: JudgeContext) -> None:
        """Has every instruction answered, as many at once as the engine has slots."""
        source, codec = await asyncio.to_thread(self._open)
        marks, eos = special_marks(codec), generation_eos(source)
        async with context.start() as engine:

            async def one(item: TurnText) -> None:
                prompt = codec.encode_prompt(
                    base_prompt(escape_special_tokens(item.instruction, marks))
                )
                if len(prompt) + self._max_tokens > engine.info.max_model_len:
                    save([Label(item.row_id, failure="too_long")])
                    return
                text = await _answer(engine, codec, prompt, eos, self._max_tokens)
                save([Label(item.row_id, {"base_output": text})])

            await each(items, one, engine)

    def _open(self) -> tuple[ModelSource, Codec]:
        source = self.model.described()
        return source, Codec.of(load_tokenizer(source, self.model.trust_remote_code))


def base_prompt(message: str) -> str:
    """The whole prompt as text, up to where the answer begins."""
    return _template().render(message=message)


def cut_at_next(text: str) -> str | None:
    """The answer in a text that goes on with another exchange; None if it does not."""
    match = _NEXT.search(text)
    return None if match is None else text[: match.start()].strip()


async def _answer(
    engine: Engine, codec: Codec, prompt: Ids, eos: tuple[int, ...], max_tokens: int
) -> str:
    ids: Ids = ()
    text = ""
    while len(ids) < max_tokens:
        sampling = Sampling(
            max_tokens=min(STRETCH, max_tokens - len(ids)),
            temperature=0.0,
            stop_ids=eos,
            loop=LOOP,
        )
        completion = await engine.generate((*prompt, *ids), sampling)
        ids += completion.ids
        text = codec.decode(ids)
        if (answer := cut_at_next(text)) is not None:
            return answer
        if completion.finish_reason != "length":
            break
    return text.strip()


def _template_text() -> str:
    file = resources.files("magpie_hub.judges").joinpath("prompts", "base_answer.jinja")
    return file.read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    import jinja2  # Here, so that what is cached loads without it.

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_template_text())
