"""Judge `reward`: how much a reward model likes an answer, as the raw logit of its only label.

Any sequence classification model with one label and a chat template of its own will do
(FsfairX-LLaMA3-RM, Skywork-Reward and kin). The same load scores the answers of a base model, if
there are any: their reward taken from the row's own is the published `reward_difference`
(section 3.1 of arXiv 2406.08464v2), which is computed where labels are joined.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from magpie_hub.chat.codec import Ids, one_line
from magpie_hub.engines.options import EngineOptions
from magpie_hub.errors import ChatFormatError
from magpie_hub.judges.base import JudgeInput, Save
from magpie_hub.judges.conversation import Conversations
from magpie_hub.judges.model_files import ModelFiles
from magpie_hub.judges.scorers.base import (
    OpenScorer,
    batches,
    check_scorer,
    open_scorer,
    own_thread,
)
from magpie_hub.store.labels import Label

MAX_TOKENS = 16_384
"""Longest row scored when nobody says, where the model's context allows: far above what the
published settings generate, and 2 GiB of an 8B model's cache."""

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


class RewardJudge:
    """Scores answers; see `magpie_hub.judges.base.Judge`.

    A row over the model's context, `options.max_model_len` or `MAX_TOKENS` fails as "too_long", for
    the end of an answer counts; a reward that is no number fails as "not_finite", and words that
    the model's template refuses as "unrenderable".
    `base_reward` is None where there is no base answer, or one that cannot be scored; the reason of
    the latter is added where labels are joined.

    Args:
        model: A Hub id or a folder.
        revision: Branch, tag or commit; None for the newest.
        batch_tokens: Most tokens of a batch, padding counted; None for what the device likes.
        home: The folder of packaged models; None for the person's own.
        options: How the model is loaded: engine, dtype, quantization, max_model_len and kin.
        base_answer: Row id to a base model's answer, to fill `base_reward` too; None for no
            such column.
        scorer: Loads the model.
    """

    name = "reward"

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        *,
        batch_tokens: int | None = None,
        home: Path | None = None,
        options: EngineOptions | None = None,
        base_answer: Callable[[int], str | None] | None = None,
        scorer: OpenScorer = open_scorer,
    ) -> None:
        self._options = options or EngineOptions()
        self._files = ModelFiles(model, revision, home, self._options.trust_remote_code)
        self._batch_tokens = batch_tokens
        self._base_answer = base_answer
        self._scorer = scorer

    @property
    def columns(self) -> tuple[str, ...]:
        """The published columns that it fills."""
        base = () if self._base_answer is None else ("base_reward",)
        return ("reward_model", "instruct_reward", *base)

    def settings(self) -> dict[str, Any]:
        """What determines the rewards; those of base answers also hang on who gave the answers.

        Raises:
            ModelError: No revision was given and none can be found.
        """
        return {
            **self._files.said,
            "max_tokens": self._options.max_model_len or MAX_TOKENS,
            "quantization": self._options.quantization,
            "base_reward": self._base_answer is not None,
            "reading": READING,
        }

    def check(self) -> None:
        """Looks whether the model can be had, fits, has one score a row and a chat template.

        Raises:
            ModelError: It cannot be had, or is of another kind.
            DeviceError: It does not fit.
            UserError: vLLM is asked for and cannot run here.
        """
        source = self._files.described()
        check_scorer(source, self._options)
        Conversations.of(source, trust_remote_code=self._options.trust_remote_code)

    async def label(self, items: Sequence[JudgeInput], save: Save) -> None:
        """Scores every subject and saves batch by batch.

        Raises:
            UserError: As `check`.
            EngineError: The scorer failed.
        """
        if not items:
            return
        source = await asyncio.to_thread(self._files.whole)
        trust = self._options.trust_remote_code
        conversations = await asyncio.to_thread(Conversations.of, source, trust_remote_code=trust)
        async with own_thread(
            lambda: self._scorer(source, self._options, self._max_tokens)
        ) as scorer:
            tokens = self._batch_tokens or scorer.batch_tokens
            for start in range(0, len(items), WINDOW):
                # Subjects and base answers may be read from a database, which wants this thread.
                window = items[start : start + WINDOW]
                answers = self._answers(window)
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
        limit = self._options.max_model_len or MAX_TOKENS
        return min(self._files.pinned.context_length or limit, limit)

    def _answers(self, items: Sequence[JudgeInput]) -> list[str | None]:
        answer = self._base_answer
        if answer is None:
            return [None] * len(items)
        return [answer(item.row_id) for item in items]

    def _prepare(
        self,
        conversations: Conversations,
        items: Sequence[JudgeInput],
        answers: Sequence[str | None],
    ) -> tuple[list[_Request], list[Label]]:
        """The requests of some subjects, and the labels of those that cannot be scored."""
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
            if self._base_answer is None:
                continue
            row.rewards["base_reward"] = None
            if answer is not None:
                found = self._encode(conversations, replace(item, response=answer))
                if not isinstance(found, str):
                    requests.append(_Request(row, "base_reward", found))
                    row.due = 2
        return requests, failed

    def _encode(self, conversations: Conversations, item: JudgeInput) -> Ids | str:
        """Token ids of a row, or why it has none."""
        try:
            ids = conversations.encode(item.instruction, item.response)
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
                values = {"reward_model": self._files.name, **row.rewards}
                done.append(Label(row.row_id, values))
        return done
