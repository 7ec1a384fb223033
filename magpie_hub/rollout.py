"""A rollout is the coroutine that lives one row's life.

instruct → gates → respond → gates → (next user turn → …). Each turn is committed the moment it
is finished. A turn that the journal has already is taken from there, so a rollout continues
wherever an earlier run, or a recipe with fewer turns, left the row.

Prompts are chained as token ids: what the model wrote stands in the next prompt exactly as it
wrote it, so the engine finds later turns' history in its cache.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from magpie_hub.book import DUPLICATE, Book, digest
from magpie_hub.chat.format import ChatFormat
from magpie_hub.engine.base import Completion, Engine, FinishReason, Sampling
from magpie_hub.gates import Candidate, GateSet, Role, first_reason
from magpie_hub.journal import TurnRecord
from magpie_hub.plan import Plan, PlannedRow
from magpie_hub.schema import suffix

Ids = tuple[int, ...]

Tag = Callable[[int, str], Awaitable[str | None]]
"""Tags a first instruction before it is answered: row id and words to its quality, None if it
cannot be judged. What it says is kept by whoever says it."""


@dataclass(frozen=True, slots=True)
class Words:
    """One side of one turn, as generated.

    Attributes:
        role: Whose words.
        turn: Of which turn, from 1.
        text: Decoded and stripped; of an answer without its thinking.
        ids: As the model wrote them, thinking included, without white space around a user's words
            and after an assistant's.
        finish_reason: Why they ended.
    """

    role: Role
    turn: int
    text: str
    ids: Ids
    finish_reason: FinishReason

    def candidate(self, chat: ChatFormat, instruction: str = "") -> Candidate:
        """What the gates look at; an answer comes with the instruction that it answers."""
        said = chat.said(self.role, self.ids, self.text)
        return Candidate(
            role=self.role,
            turn=self.turn,
            text=self.text,
            ids=said.ids,
            finish_reason=self.finish_reason,
            special_ids=chat.special_ids,
            markers=chat.markers,
            instruction=instruction,
            fault=said.fault,
        )


def user_words(chat: ChatFormat, turn: int, completion: Completion) -> Words:
    """Reads a completion of a pre-query or next-query template."""
    ids, wrote_end = chat.cut_query(completion.ids)
    ids = tuple(chat.trim(ids))
    # Where the template has no single token that ends a user's turn, the model ends it in words.
    reason: FinishReason = "stop" if wrote_end else completion.finish_reason
    return Words("user", turn, chat.decode(ids).strip(), ids, reason)


def assistant_words(chat: ChatFormat, turn: int, completion: Completion) -> Words:
    """Reads a completion of a post-query template."""
    ids = tuple(chat.trim_end(completion.ids))
    text = chat.decode(ids)
    said = chat.said("assistant", ids, text)
    if said.ids != ids:
        text = chat.decode(said.ids)
    reason: FinishReason = "stop" if said.ended else completion.finish_reason
    return Words("assistant", turn, text.strip(), ids, reason)


def turn_record(
    row_id: int,
    turn: int,
    reason: str | None,
    mark: bytes | None,
    query: Words,
    answer: Words | None,
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


class Rollouts:
    """Runs rows of one recipe on one engine.

    Args:
        plan: The recipe's plan.
        chat: The generator's chat format.
        engine: The generator.
        gates: Gates for either side; the first that objects names the reason.
        book: Where turns are committed and found.
        tag: Tags first instructions, if the book has a bar that they must reach.

    Attributes:
        finished: Rows that have lived their lives, passed or rejected.
        no_room: Completions that the end of the context cut off, not their own token limit.
    """

    def __init__(
        self,
        plan: Plan,
        chat: ChatFormat,
        engine: Engine,
        gates: GateSet,
        book: Book,
        tag: Tag | None = None,
    ) -> None:
        self._plan = plan
        self._chat = chat
        self._engine = engine
        self._gates = gates
        self._book = book
        self._tag = tag
        self._settings = plan.recipe.gates
        self.finished = 0
        self.no_room = 0
        # Lowest row in flight for each first instruction that has passed its gates.
        self._in_flight: dict[bytes, int] = {}

    async def run(self, row_id: int) -> bool:
        """Lives a row's life to its end.

        Returns:
            Whether the row passed everything, as far as can be told while lower row ids may be
            unfinished.

        Raises:
            EngineError: The engine failed; finished turns of the row are committed.
            JournalError: A turn could not be committed.
        """
        passed = await self._live(row_id)
        self.finished += 1
        return passed

    async def _live(self, row_id: int) -> bool:
        row = self._plan.row(row_id)
        history: list[tuple[Ids, Ids]] = []
        for turn in range(1, self._book.turns + 1):
            record = self._book.get(row_id, turn)
            if record is None:
                record = await self._turn(row, turn, history)
            elif turn == 1 and self._book.waits(record.reason):
                record = await self._resume(row, record)
            if record.reason is not None or record.response_ids is None:
                return False
            if record.digest and self._book.repeats(row_id, record.digest):
                return False
            history.append((record.instruction_ids, record.response_ids))
        return True

    async def _turn(
        self, row: PlannedRow, turn: int, history: Sequence[tuple[Ids, Ids]]
    ) -> TurnRecord:
        mark: bytes | None = None
        try:
            query = await self._query(row, turn, history)
            reason = self._reason(query)
            if reason is None and turn == 1 and self._settings.duplicate:
                mark = digest(query.text)
                if not self._claim(mark, row.row_id):
                    reason = DUPLICATE
            if reason is None and turn == 1:
                reason = await self._below_bar(row.row_id, query.text)
            answer: Words | None = None
            if reason is None or (not self._settings.before_responding and query.ids):
                answer = await self._answer(row, turn, history, query)
                reason = reason or self._reason(answer, query.text)
            record = turn_record(row.row_id, turn, reason, mark, query, answer)
            self._book.put(record)
            return record
        finally:
            if mark is not None and self._in_flight.get(mark) == row.row_id:
                del self._in_flight[mark]

    async def _resume(self, row: PlannedRow, shelved: TurnRecord) -> TurnRecord:
        """Answers a first instruction that was shelved, if it reaches the bar as it is now."""
        query = Words(
            "user", 1, shelved.instruction, shelved.instruction_ids, shelved.instruction_finish
        )
        reason = await self._below_bar(row.row_id, query.text)
        answer: Words | None = None
        if reason is None:
            answer = await self._answer(row, 1, (), query)
            reason = self._reason(answer, query.text)
        record = turn_record(row.row_id, 1, reason, shelved.digest, query, answer)
        self._book.put_back(record)
        return record

    async def _below_bar(self, row_id: int, instruction: str) -> str | None:
        """Why a first instruction is not worth a response; None if it is."""
        bar = self._book.bar
        if bar is None or self._tag is None:
            return None
        return bar.reason(await self._tag(row_id, instruction))

    def _claim(self, mark: bytes, row_id: int) -> bool:
        """Whether no lower row, finished or in flight, is known to hold the same instruction.

        A lower row that turns up later is seen when the book is read: there the rule is exact.
        """
        if self._book.repeats(row_id, mark):
            return False
        holder = self._in_flight.get(mark)
        if holder is not None and holder < row_id:
            return False
        self._in_flight[mark] = row_id
        return True

    async def _query(self, row: PlannedRow, turn: int, history: Sequence[tuple[Ids, Ids]]) -> Words:
        if turn == 1:
            system = row.system.text if row.system else None
        else:
            system = self._plan.recipe.later_turns.system
        prompt = self._chat.query_prompt(history, system)
        sampling = self._plan.instruct(row, turn, self._chat.stop_ids)
        return user_words(self._chat, turn, await self._complete(prompt, sampling))

    async def _answer(
        self, row: PlannedRow, turn: int, history: Sequence[tuple[Ids, Ids]], query: Words
    ) -> Words:
        prompt = self._chat.answer_prompt(history, query.ids)
        sampling = self._plan.respond(row, turn, self._chat.answer_stop_ids)
        return assistant_words(self._chat, turn, await self._complete(prompt, sampling))

    async def _complete(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        room = self._engine.info.max_model_len - len(prompt)
        # A conversation that fills the context is the row's fate, not the engine's failure: if no
        # token fits, its words are cut off before they begin.
        fits = room > 0
        done = await self._engine.generate(prompt, sampling) if fits else Completion((), "length")
        self.no_room += done.finish_reason == "length" and room < sampling.max_tokens
        return done

    def _reason(self, words: Words, instruction: str = "") -> str | None:
        gates = self._gates.instruction if words.role == "user" else self._gates.response
        reason = first_reason(gates, words.candidate(self._chat, instruction))
        if reason is None:
            return None
        side = "instruction" if words.role == "user" else "response"
        return f"{side}{suffix(words.turn)}.{reason}"
