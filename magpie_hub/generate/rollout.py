"""A rollout: the coroutine that generates one row.

instruct → gates → respond → gates → (next user turn → …). Each finished turn is handed to
`TurnStore.put`; when it is committed is the caller's decision. A turn that the store has already is
taken from there, so a rollout continues wherever an earlier run, or a recipe with fewer turns, left
the row.

Prompts are chained as token ids: the next prompt holds exactly the ids that the model wrote, so the
engine finds the history of later turns in its cache.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from magpie_hub.chat.format import ChatFormat, Said
from magpie_hub.engines.base import Completion, Engine, FinishReason, Sampling
from magpie_hub.gates.base import Message, Role
from magpie_hub.gates.registry import GateSet, first_reason
from magpie_hub.generate.plan import Plan, PlannedRow, turn_suffix
from magpie_hub.recipe.config import Gates
from magpie_hub.store.journal import OPEN, Journal, TurnRecord
from magpie_hub.store.labels import Label
from magpie_hub.store.rows import DUPLICATE, QualityThreshold, digest

Ids = tuple[int, ...]

Tag = Callable[[int, str], Awaitable[Label]]
"""Tags a first instruction, given by row id and text, before its response is generated."""


class TurnStore(Protocol):
    """Where rollouts read finished turns, and put new ones."""

    @property
    def turns(self) -> int:
        """Turns of a whole conversation."""

    @property
    def threshold(self) -> QualityThreshold | None:
        """What a first instruction must reach before its response is generated."""

    def get(self, row_id: int, turn: int) -> TurnRecord | None:
        """A finished turn."""

    def is_deferred(self, reason: str | None) -> bool:
        """Whether something of a finished turn is still to be generated or decided."""

    def label(self, row_id: int) -> Label | None:
        """The label of a row's first instruction, if it has one."""

    def repeats(self, row_id: int, digest: bytes) -> bool:
        """Whether a lower row, or a published one, has the same first instruction."""

    def put(
        self, record: TurnRecord, *, answered: bool = False, label: Label | None = None
    ) -> None:
        """Takes a finished turn; see `magpie_hub.store.pending.PendingTurns.put`."""


def read_instruction(chat: ChatFormat, turn: int, completion: Completion) -> Message:
    """Reads a completion of a pre-query or next-query template."""
    ids, wrote_end = chat.cut_query(completion.ids)
    ids = tuple(chat.trim(ids))
    # If the template has no single token that ends a user's turn, the model ends it in text.
    reason: FinishReason = "stop" if wrote_end else completion.finish_reason
    text = chat.decode(ids).strip()
    return _message(chat, "user", turn, text, ids, reason, chat.said("user", ids, text))


def read_response(chat: ChatFormat, turn: int, completion: Completion, instruction: str) -> Message:
    """Reads a completion of a post-query template, the response to an instruction."""
    ids = tuple(chat.trim_end(completion.ids))
    text = chat.decode(ids).strip()
    said = chat.said("assistant", ids, text)
    if said.ids != ids:
        text = chat.decode(said.ids).strip()
    reason: FinishReason = "stop" if said.ended else completion.finish_reason
    return _message(chat, "assistant", turn, text, ids, reason, said, instruction)


def _message(
    chat: ChatFormat,
    role: Role,
    turn: int,
    text: str,
    ids: Ids,
    reason: FinishReason,
    said: Said,
    instruction: str = "",
) -> Message:
    special = not chat.special_ids.isdisjoint(said.ids)
    return Message(role, turn, text, ids, reason, instruction, said.fault, special, chat.markers)


def turn_record(
    row_id: int,
    turn: int,
    reason: str | None,
    mark: bytes | None,
    query: Message,
    answer: Message | None,
) -> TurnRecord:
    """A finished turn as it is journaled."""
    return TurnRecord(
        row_id=row_id,
        turn=turn,
        reason=reason,
        digest=mark,
        instruction=query.text,
        response=answer.text if answer else None,
        instruction_finish=query.finish_reason,
        response_finish=answer.finish_reason if answer else None,
        instruction_ids=query.ids,
        response_ids=answer.ids if answer else None,
    )


def journaled_instruction(chat: ChatFormat, record: TurnRecord) -> Message:
    """The instruction of a journaled turn."""
    ids, text = record.instruction_ids, record.instruction
    said = chat.said("user", ids, text)
    return _message(chat, "user", record.turn, text, ids, record.instruction_finish, said)


def journaled_response(chat: ChatFormat, record: TurnRecord) -> Message | None:
    """The response of a journaled turn; None if it has none."""
    ids, text, reason = record.response_ids, record.response, record.response_finish
    if text is None or ids is None or reason is None:
        return None
    said = chat.said("assistant", ids, text)
    return _message(chat, "assistant", record.turn, text, ids, reason, said, record.instruction)


@dataclass(frozen=True, slots=True)
class GateJudge:
    """The verdict of a recipe's gates: a function of the text only.

    Attributes:
        chat: The generator's chat format.
        gates: Gates for either side; the first that rejects gives the reason.
        settings: The recipe's `gates` section.
    """

    chat: ChatFormat
    gates: GateSet
    settings: Gates

    def reason(self, message: Message) -> str | None:
        """Why one side of a turn is rejected; None if it passes."""
        gates = self.gates.instruction if message.role == "user" else self.gates.response
        reason = first_reason(gates, message)
        if reason is None:
            return None
        side = "instruction" if message.role == "user" else "response"
        return f"{side}{turn_suffix(message.turn)}.{reason}"

    def wants_answer(self, query: Message, reason: str | None) -> bool:
        """Whether a response is generated if the instruction is rejected for this reason."""
        return reason is None or (not self.settings.before_responding and bool(query.ids))

    def again(self, record: TurnRecord) -> TurnRecord:
        """A journaled turn with the verdict of these gates.

        Gates do not look for duplicates or at the quality threshold: a turn that lacks its response
        is open, unless it was deferred.
        """
        query = journaled_instruction(self.chat, record)
        answer = journaled_response(self.chat, record)
        reason = self.reason(query)
        mark = None
        if reason is None and record.turn == 1 and self.settings.duplicate:
            mark = digest(query.text)
        if answer is not None:
            reason = reason or self.reason(answer)
        elif self.wants_answer(query, reason):
            reason = record.reason if reason is None else OPEN
        return replace(record, reason=reason, digest=mark)


REJUDGED = 500
"""Turns that are judged again before their verdicts are committed."""


def judge_again(journals: Iterable[Journal], judge: GateJudge, say: Callable[[str], None]) -> None:
    """Finds, from the texts, the verdicts that journals lack for their list of gates.

    Args:
        journals: The journals.
        judge: The gates.
        say: Told if there is something to do, in one line.
    """
    todo = [(journal, journal.unjudged()) for journal in journals]
    if turns := sum(len(places) for _, places in todo):
        say(f"gates: {turns:,} journaled turns to judge; none of them is generated again")
    for journal, places in todo:
        for at in range(0, len(places), REJUDGED):
            journal.judge(map(judge.again, journal.at(places[at : at + REJUDGED])))


class Rollouts:
    """Generates rows of one recipe on one engine.

    Args:
        plan: The recipe's plan.
        chat: The generator's chat format.
        engine: The generator.
        gates: Gates for either side; the first that rejects gives the reason.
        store: Where finished turns are read, and new ones put.
        tag: Tags first instructions, if the store has a threshold.

    Attributes:
        finished: Rows finished, passed or rejected.
        no_room: Completions that the end of the context cut off, not their own token limit.
    """

    def __init__(
        self,
        plan: Plan,
        chat: ChatFormat,
        engine: Engine,
        gates: GateSet,
        store: TurnStore,
        tag: Tag | None = None,
    ) -> None:
        self._plan = plan
        self._chat = chat
        self._engine = engine
        self._judge = GateJudge(chat, gates, plan.recipe.gates)
        self._store = store
        self._tag = tag
        self._settings = plan.recipe.gates
        self.finished = 0
        self.no_room = 0
        # Lowest row in flight for each first instruction that has passed its gates.
        self._in_flight: dict[bytes, int] = {}

    async def run(self, row_id: int) -> bool:
        """Generates what a row lacks; hands over each turn as it is finished.

        Returns:
            Whether the row passed everything, as far as can be told while lower row ids may be
            unfinished.

        Raises:
            EngineError: The engine failed; the row's finished turns are handed over.
        """
        row = self._plan.row(row_id)
        history: list[tuple[Ids, Ids]] = []
        passed = True
        for turn in range(1, self._store.turns + 1):
            record = self._store.get(row_id, turn)
            fresh = record is None or self._store.is_deferred(record.reason)
            if record is None or fresh:
                record = await self._turn(row, turn, history, record)
            # A lower row may have the same instruction by now: no further turn is generated.
            last = fresh and turn == self._store.turns
            mark = None if last else record.digest
            repeated = mark is not None and self._store.repeats(row_id, mark)
            if repeated or record.reason is not None or record.response_ids is None:
                passed = False
                break
            history.append((record.instruction_ids, record.response_ids))
        self.finished += 1
        return passed

    async def _turn(
        self,
        row: PlannedRow,
        turn: int,
        history: Sequence[tuple[Ids, Ids]],
        known: TurnRecord | None,
    ) -> TurnRecord:
        """Generates what is missing of a turn.

        Args:
            row: The row.
            turn: Which turn.
            history: The turns before.
            known: What is journaled of this one; nothing of that is generated again.
        """
        mark: bytes | None = None
        label: Label | None = None
        try:
            if known:
                query = journaled_instruction(self._chat, known)
            else:
                done = await self._complete(*self._query(row, turn, history))
                query = read_instruction(self._chat, turn, done)
            reason = self._judge.reason(query)
            if reason is None and turn == 1 and self._settings.duplicate:
                mark = digest(query.text)
                if not self._claim(mark, row.row_id):
                    reason = DUPLICATE
            if reason is None and turn == 1 and self._tag and (least := self._store.threshold):
                found = self._store.label(row.row_id)
                if found is None:
                    found = label = await self._tag(row.row_id, query.text)
                reason = least.reason(found.values.get("input_quality"))
            answer = journaled_response(self._chat, known) if known else None
            if answer is None and self._judge.wants_answer(query, reason):
                done = await self._complete(*self._answer(row, turn, history, query))
                answer = read_response(self._chat, turn, done, query.text)
            if answer is not None:
                reason = reason or self._judge.reason(answer)
            record = turn_record(row.row_id, turn, reason, mark, query, answer)
            self._store.put(record, answered=known is not None, label=label)
            return record
        finally:
            if mark is not None and self._in_flight.get(mark) == row.row_id:
                del self._in_flight[mark]

    def _claim(self, mark: bytes, row_id: int) -> bool:
        """Whether no lower row, finished or in flight, is known to hold the same instruction.

        A lower row that turns up later is seen when the rows are read: there the rule is exact.
        """
        if self._store.repeats(row_id, mark):
            return False
        holder = self._in_flight.get(mark)
        if holder is not None and holder < row_id:
            return False
        self._in_flight[mark] = row_id
        return True

    def _query(
        self, row: PlannedRow, turn: int, history: Sequence[tuple[Ids, Ids]]
    ) -> tuple[Sequence[int], Sampling]:
        """The request for a turn's instruction."""
        if turn == 1:
            system = row.system.text if row.system else None
        else:
            system = self._plan.recipe.later_turns.system
        prompt = self._chat.query_prompt(history, system)
        return prompt, self._plan.instruct(row, turn, self._chat.stop_ids)

    def _answer(
        self, row: PlannedRow, turn: int, history: Sequence[tuple[Ids, Ids]], query: Message
    ) -> tuple[Sequence[int], Sampling]:
        """The request for a turn's response."""
        prompt = self._chat.answer_prompt(history, query.ids)
        return prompt, self._plan.respond(row, turn, self._chat.answer_stop_ids)

    async def _complete(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        room = self._engine.info.max_model_len - len(prompt)
        # A full context is no failure of the engine: if no token fits, the completion is cut off
        # before it begins.
        fits = room > 0
        done = await self._engine.generate(prompt, sampling) if fits else Completion((), "length")
        self.no_room += done.finish_reason == "length" and room < sampling.max_tokens
        return done
