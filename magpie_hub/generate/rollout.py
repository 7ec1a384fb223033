"""A rollout is the coroutine that lives one row's life.

instruct → gates → respond → gates → (next user turn → …). Each turn is committed the moment it
is finished. A turn that the journal has already is taken from there, so a rollout continues
wherever an earlier run, or a recipe with fewer turns, left the row.

Prompts are chained as token ids: what the model wrote stands in the next prompt exactly as it
wrote it, so the engine finds later turns' history in its cache.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from magpie_hub.chat.format import ChatFormat
from magpie_hub.engines.base import Completion, Engine, FinishReason, Sampling
from magpie_hub.gates.base import Candidate, Role
from magpie_hub.gates.registry import GateSet, first_reason
from magpie_hub.generate.plan import Plan, PlannedRow, turn_suffix
from magpie_hub.recipe.config import Gates
from magpie_hub.store.journal import OPEN, Journal, TurnRecord
from magpie_hub.store.rows import DUPLICATE, RowStore, digest

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


def said_by_user(record: TurnRecord) -> Words:
    """The user's words of a journaled turn."""
    ids, finish = record.instruction_ids, record.instruction_finish
    return Words("user", record.turn, record.instruction, ids, finish)


def said_by_assistant(record: TurnRecord) -> Words | None:
    """The assistant's words of a journaled turn; None where none were paid for."""
    if record.response is None or record.response_ids is None or record.response_finish is None:
        return None
    ids, finish = record.response_ids, record.response_finish
    return Words("assistant", record.turn, record.response, ids, finish)


@dataclass(frozen=True, slots=True)
class GateJudge:
    """What a recipe's gates say of words: a function of the words alone.

    Attributes:
        chat: The generator's chat format.
        gates: Gates for either side; the first that objects names the reason.
        settings: The recipe's `gates` section.
    """

    chat: ChatFormat
    gates: GateSet
    settings: Gates

    def reason(self, words: Words, instruction: str = "") -> str | None:
        """Why one side of a turn is rejected; None if it passes."""
        gates = self.gates.instruction if words.role == "user" else self.gates.response
        reason = first_reason(gates, words.candidate(self.chat, instruction))
        if reason is None:
            return None
        side = "instruction" if words.role == "user" else "response"
        return f"{side}{turn_suffix(words.turn)}.{reason}"

    def wants_answer(self, query: Words, reason: str | None) -> bool:
        """Whether a response is paid for, with this reason against the user's words."""
        return reason is None or (not self.settings.before_responding and bool(query.ids))

    def again(self, record: TurnRecord) -> TurnRecord:
        """A journaled turn with the verdict of these gates.

        Whether another row has the same words, and whether they are worth a response, is no gate's
        business: a turn that lacks its response is open, unless it was put off.
        """
        query, answer = said_by_user(record), said_by_assistant(record)
        reason = self.reason(query)
        mark = None
        if reason is None and record.turn == 1 and self.settings.duplicate:
            mark = digest(query.text)
        if answer is not None:
            reason = reason or self.reason(answer, query.text)
        elif self.wants_answer(query, reason):
            reason = record.reason if reason is None else OPEN
        return replace(record, reason=reason, digest=mark)


REJUDGED = 500
"""Turns that are judged again before their verdicts are committed."""


def judge_again(journals: Iterable[Journal], judge: GateJudge, say: Callable[[str], None]) -> None:
    """Finds what verdicts journals lack for their list of gates, from the words; by their writer.

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
        row_store: RowStore,
        tag: Tag | None = None,
    ) -> None:
        self._plan = plan
        self._chat = chat
        self._engine = engine
        self._judge = GateJudge(chat, gates, plan.recipe.gates)
        self._book = row_store
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
            if record is None or self._book.is_deferred(record.reason):
                record = await self._turn(row, turn, history, record)
            if record.reason is not None or record.response_ids is None:
                return False
            if record.digest and self._book.repeats(row_id, record.digest):
                return False
            history.append((record.instruction_ids, record.response_ids))
        return True

    async def _turn(
        self,
        row: PlannedRow,
        turn: int,
        history: Sequence[tuple[Ids, Ids]],
        known: TurnRecord | None,
    ) -> TurnRecord:
        """Makes what is missing of a turn.

        Args:
            row: The row.
            turn: Which turn.
            history: The turns before.
            known: What is journaled of this one; nothing of that is generated again.
        """
        mark: bytes | None = None
        try:
            query = said_by_user(known) if known else await self._query(row, turn, history)
            reason = self._judge.reason(query)
            if reason is None and turn == 1 and self._settings.duplicate:
                mark = digest(query.text)
                if not self._claim(mark, row.row_id):
                    reason = DUPLICATE
            if reason is None and turn == 1:
                reason = await self._below_threshold(row.row_id, query.text)
            answer = said_by_assistant(known) if known else None
            if answer is None and self._judge.wants_answer(query, reason):
                answer = await self._answer(row, turn, history, query)
            if answer is not None:
                reason = reason or self._judge.reason(answer, query.text)
            record = turn_record(row.row_id, turn, reason, mark, query, answer)
            if known is None:
                self._book.put(record)
            else:
                self._book.put_response(record)
            return record
        finally:
            if mark is not None and self._in_flight.get(mark) == row.row_id:
                del self._in_flight[mark]

    async def _below_threshold(self, row_id: int, instruction: str) -> str | None:
        """Why a first instruction is not worth a response; None if it is."""
        threshold = self._book.threshold
        if threshold is None or self._tag is None:
            return None
        return threshold.reason(await self._tag(row_id, instruction))

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
