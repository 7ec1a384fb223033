"""Judge `reward`: how much a reward model likes an answer, as the raw logit of its only label.

Takes any sequence classification model with one label and a chat template of its own
(FsfairX-LLaMA3-RM, Skywork-Reward and kin). The same load scores the answers of a base model, if
there are any: their reward taken from the row's own is the published `reward_difference`
(section 3.1 of arXiv 2406.08464v2), which is computed where labels are joined.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from magpie_hub.chat.codec import Ids
from magpie_hub.errors import ChatFormatError, one_line
from magpie_hub.judges.base import Judge, JudgeContext, Save
from magpie_hub.judges.columns import Column
from magpie_hub.judges.conversation import Conversations
from magpie_hub.judges.models import JudgeModel, JudgeSetup
from magpie_hub.judges.scorers.base import (
    OpenScorer,
    batches,
    check_scorer,
    open_scorer,
    own_thread,
)
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label

MAX_TOKENS = 16_384
"""Longest row scored, where the recipe sets no `max_model_len`: far above what the published
settings generate, and 2 GiB of an 8B model's cache."""

READING = 1
"""Version of how a row is put to the model; raised when it would give other rewards."""

WINDOW = 2048
"""Rows that are read, encoded and sorted by length at once."""


@dataclass(slots=True)
class _Row:
    """A row on its way: the rewards that it has, and how many are still due."""

    row_id: int
    due: int = 0
    rewards: dict[str, float | None] = field(default_factory=dict)


class _Request(NamedTuple):
    row: _Row
    column: str
    ids: Ids


class RewardJudge(Judge):
    """Scores answers; see `magpie_hub.judges.base.Judge`.

    A row over the model's context, its `max_model_len` or `MAX_TOKENS` fails as "too_long", for
    the end of an answer counts; a reward that is no number fails as "not_finite", and words that
    the model's template refuses as "unrenderable".
    `base_reward` is None where there is no base answer, or one that cannot be scored; the reason of
    the latter is added where labels are joined.

    Args:
        model: The reward model.
        base_answers: Whether there are answers of a base model, to fill `base_reward` too.
        batch_tokens: Most tokens of a batch, padding counted; None for what the device likes.
        scorer: Loads the model; None for `open_scorer`.
    """

    name = "reward"
    says = "what the response is worth"
    off = "**No reward:** rows were not judged by a reward model."
    columns = (
        Column("reward_model", "text", "The reward model.", names_model=True),
        Column(
            "instruct_reward",
            "number",
            "Its raw score of the response; compare it with scores of the same model only.",
            counted="numbers",
            in_examples=True,
            drift="mean",
        ),
    )
    reads = ("base",)

    def __init__(
        self,
        model: JudgeModel,
        *,
        base_answers: bool = False,
        batch_tokens: int | None = None,
        scorer: OpenScorer | None = None,
    ) -> None:
        self.model: JudgeModel = model
        self._base_answers = base_answers
        self._batch_tokens = batch_tokens
        self._scorer = scorer or open_scorer

    @classmethod
    def of(cls, setup: JudgeSetup) -> Self:
        """The reward model of `judges.reward`."""
        return cls(setup.model(cls.name), base_answers="base" in setup.recipe.judges.names)

    def settings(self) -> dict[str, Any]:
        """What determines the rewards; those of base answers also hang on who gave the answers."""
        options = self.model.options
        return {
            **self.model.settings,
            "max_tokens": options.max_model_len or MAX_TOKENS,
            "quantization": options.quantization,
            "base_reward": self._base_answers,
            "reading": READING,
        }

    def check(self) -> None:
        """Looks whether the model can be had, fits, has one score a row and a chat template."""
        source = self.model.described()
        check_scorer(source, self.model.options)
        Conversations.of(source, trust_remote_code=self.model.trust_remote_code)

    async def label(self, items: Sequence[TurnText], save: Save, context: JudgeContext) -> None:
        """Scores every input and saves batch by batch."""
        source = await asyncio.to_thread(self.model.whole)
        trust = self.model.trust_remote_code
        conversations = await asyncio.to_thread(Conversations.of, source, trust_remote_code=trust)
        options = context.beside(self.model.options)
        async with own_thread(lambda: self._scorer(source, options, self._max_tokens)) as scorer:
            tokens = self._batch_tokens or scorer.batch_tokens
            for start in range(0, len(items), WINDOW):
                # Inputs and base answers may be read from a database, which wants this thread.
                window = items[start : start + WINDOW]
                answers = [self._answer(item, context) for item in window]
                requests, failed = await asyncio.to_thread(
                    self._prepare, conversations, window, answers
                )
                if failed:
                    save(failed)
                for batch in batches(requests, lambda request: len(request.ids), tokens):
                    scores = await scorer.scores([request.ids for request in batch])
                    if done := self._settle(batch, scores):
                        save(done)

    @property
    def _max_tokens(self) -> int:
        limit = self.model.options.max_model_len or MAX_TOKENS
        return min(self.model.pinned.context_length or limit, limit)

    def _answer(self, item: TurnText, context: JudgeContext) -> str | None:
        """The base model's answer, if there is one."""
        label = context.label_of("base", item.row_id) if self._base_answers else None
        return None if label is None else label.values.get("base_output")

    def _prepare(
        self,
        conversations: Conversations,
        items: Sequence[TurnText],
        answers: Sequence[str | None],
    ) -> tuple[list[_Request], list[Label]]:
        """The requests of some inputs, and the labels of those that cannot be scored."""
        requests: list[_Request] = []
        failed: list[Label] = []
        for item, answer in zip(items, answers, strict=True):
            row = _Row(item.row_id)
            found = self._encode(conversations, item)
            if isinstance(found, str):
                failed.append(Label(item.row_id, failure=found))
                continue
            requests.append(_Request(row, "instruct_reward", found))
            row.due = 1
            if not self._base_answers:
                continue
            row.rewards["base_reward"] = None
            if answer is not None:
                found = self._encode(conversations, item._replace(response=answer))
                if not isinstance(found, str):
                    requests.append(_Request(row, "base_reward", found))
                    row.due = 2
        return requests, failed

    def _encode(self, conversations: Conversations, item: TurnText) -> Ids | str:
        """Token ids of a row, or why it has none."""
        try:
            ids = conversations.encode(item.instruction, item.response or "")
        except ChatFormatError as error:
            return f"unrenderable:{one_line(error, 80)}"
        return ids if len(ids) <= self._max_tokens else "too_long"

    def _settle(self, batch: Sequence[_Request], scores: Sequence[float]) -> list[Label]:
        """Notes a batch's scores; the labels of rows that now have all of theirs."""
        done = []
        for (row, column, _), score in zip(batch, scores, strict=True):
            row.rewards[column] = score if math.isfinite(score) else None
            row.due -= 1
            if row.due:
                continue
            if row.rewards["instruct_reward"] is None:
                done.append(Label(row.row_id, failure="not_finite"))
            else:
                values = {"reward_model": self.model.name, **row.rewards}
                done.append(Label(row.row_id, values))
        return done
