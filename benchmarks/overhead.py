"""CPU time a row outside the engine: plan, prompts, text, gates, journal, scheduling.

    .venv/bin/python benchmarks/overhead.py [--rows 2000] [--repeats 5]

A scripted engine of 256 slots answers with token ids that lie ready: instructions of a sentence,
responses of 250 words of the project's own documentation. It ends one completion, of any row, in
each turn of the event loop, as a real one does whose 256 sequences are 100 to 500 tokens long.
What the engine takes by itself is measured alone and subtracted.

Conversations of one turn and of three, with the real tokenizer of SmolLM2-135M-Instruct and with a
toy one whose tokens are bytes. Each is a run of its own; the kinds are run in turn, and medians are
taken. The parts are the same work done again by itself on the run's turns. All of it is CPU time
of the process, kernel included. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from magpie_hub.engines.base import Completion, EngineInfo, EngineStats, Sampling
from magpie_hub.gates.base import Message
from magpie_hub.gates.registry import GateSet, build_gates, first_reason
from magpie_hub.generate.plan import Plan
from magpie_hub.generate.rollout import Rollouts, read_instruction, read_response
from magpie_hub.generate.scheduler import run_rollouts
from magpie_hub.generate.tracker import PrefixTracker
from magpie_hub.recipe.config import Recipe
from magpie_hub.store.journal import Journal, TurnRecord
from magpie_hub.store.pending import PendingTurns
from magpie_hub.store.rows import RowStore
from tests.toy import ASSISTANT, END, ToyChat

ROOT = Path(__file__).resolve().parents[1]
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
TARGET = 0.5
SLOTS = 256
RESPONSE_WORDS, INSTRUCTION_WORDS, STRIDE = 250, 12, 25


@dataclass(frozen=True, slots=True)
class Speech:
    """What the scripted engine says, in one tokenizer's ids.

    Attributes:
        instructions: Beginnings of user turns.
        digits: Ids of each digit: with a number behind it, no instruction is said twice.
        responses: Whole answers.
        asks: How a prompt ends after which the assistant speaks.
    """

    instructions: list[tuple[int, ...]]
    digits: list[tuple[int, ...]]
    responses: list[tuple[int, ...]]
    asks: tuple[int, ...]

    @classmethod
    def of(cls, encode: Callable[[str], Sequence[int]], asks: Sequence[int]) -> Speech:
        """Cuts the documentation into pieces and encodes them."""
        files = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        text = "\n\n".join(file.read_text(encoding="utf-8") for file in files)
        text = text.replace("```", "")  # a block that is cut in two is no good answer
        begins = [at for at, c in enumerate(text) if c.isspace() and text[at + 1 : at + 2].strip()]
        pieces = [
            (text[at : begins[n + INSTRUCTION_WORDS]], text[at : begins[n + RESPONSE_WORDS]])
            for n, at in list(enumerate(begins))[:-RESPONSE_WORDS:STRIDE]
        ]
        return cls(
            [tuple(encode(f"{' '.join(asked.split())} ")) for asked, _ in pieces],
            [tuple(encode(str(digit))) for digit in range(10)],
            [tuple(encode(answer.strip())) for _, answer in pieces],
            tuple(asks),
        )

    def say(self, prompt: Sequence[int], seed: int) -> tuple[int, ...]:
        """A completion, by the seed alone."""
        if tuple(prompt[-len(self.asks) :]) == self.asks:
            return self.responses[seed % len(self.responses)]
        said = list(self.instructions[seed % len(self.instructions)])
        for digit in str(seed % 10**9):
            said += self.digits[int(digit)]
        return tuple(said)


class ScriptedEngine:
    """An engine that knows what to say, and ends one completion in each turn of the loop."""

    def __init__(self, speech: Speech) -> None:
        self.info = EngineInfo("scripted", "1", "none", "none", SLOTS, 10**6)
        self.stats = EngineStats()
        self._speech = speech
        self._waiting: list[asyncio.Future[None]] = []
        self._draw = random.Random(0)

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._step)
        ended: asyncio.Future[None] = loop.create_future()
        self._waiting.append(ended)
        await ended
        ids = self._speech.say(prompt, sampling.seed)
        self.stats.decoded_tokens += len(ids) + 1
        return Completion(ids, "stop", sampling.stop_ids[0])

    def _step(self) -> None:
        at = int(self._draw.random() * min(SLOTS, len(self._waiting)))
        self._waiting[at], last = self._waiting[-1], self._waiting[at]
        self._waiting.pop()
        last.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._step)

    async def rest(self) -> None: ...
    async def wake(self) -> None: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of run."""

    tokenizer: str
    chat: Any
    speech: Speech
    turns: int
    rows: int

    def measure(self) -> dict[str, float]:
        """CPU seconds, as a whole and in parts."""
        recipe = Recipe(
            name="bench", description="A benchmark.", model="a/model", rows=self.rows,
            turns=self.turns,
        )  # fmt: skip
        gates = build_gates()
        with tempfile.TemporaryDirectory() as folder:
            first, later = (Journal(Path(folder) / name) for name in ("first.db", "later.db"))
            row_store = RowStore(first, later, self.turns)
            engine = ScriptedEngine(self.speech)
            pending = PendingTurns(row_store)
            rollouts = Rollouts(Plan(recipe), self.chat, engine, gates, pending)
            tracker = PrefixTracker(row_store, self.rows)
            took = cpu(lambda: asyncio.run(run_rollouts(tracker, rollouts, pending, engine)))
            turns = [
                record
                for journal in (first, later)
                for mark in journal.turn_index()
                if (record := journal.get(mark.row_id, mark.turn)) is not None
            ]
            with Journal(Path(folder) / "again.db") as again:
                journal = cpu(lambda: again.put_many(turns))
            first.close()
            later.close()
        text = cpu(lambda: self._texts(turns))
        words = self._texts(turns)
        asked = cpu(lambda: self._gates(gates, words))
        alone = cpu(lambda: asyncio.run(self._alone(turns)))
        return {
            "rows": rollouts.finished,
            "turns": len(turns),
            "chars": sum(len(t.instruction) + len(t.response or "") for t in turns),
            "tokens": sum(len(t.instruction_ids) + len(t.response_ids or ()) for t in turns),
            "passed": tracker.passing,
            "ours": took - alone,
            "engine": alone,
            "text": text,
            "gates": asked,
            "journal": journal,
            "rest": took - alone - text - asked - journal,
        }

    def _texts(self, turns: list[TurnRecord]) -> list[Message]:
        said = []
        for turn in turns:
            query = Completion(turn.instruction_ids, turn.instruction_finish)
            said.append(read_instruction(self.chat, turn.turn, query))
            if turn.response_ids is not None and turn.response_finish:
                answer = Completion(turn.response_ids, turn.response_finish)
                said.append(read_response(self.chat, turn.turn, answer, said[-1].text))
        return said

    def _gates(self, gates: GateSet, words: list[Message]) -> None:
        for said in words:
            first_reason(gates.instruction if said.role == "user" else gates.response, said)

    async def _alone(self, turns: list[TurnRecord]) -> None:
        """The engine's own work, with as much in flight."""
        engine, todo = ScriptedEngine(self.speech), iter(turns)
        ask = self.chat.query_prompt(())
        answer = [*ask, *self.speech.asks]

        async def work() -> None:
            for turn in todo:
                await engine.generate(ask, Sampling(1, seed=turn.row_id, stop_ids=(0,)))
                if turn.response is not None:
                    await engine.generate(answer, Sampling(1, seed=turn.row_id, stop_ids=(0,)))

        await asyncio.gather(*(work() for _ in range(SLOTS)))


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def real_chat() -> tuple[Any, Speech]:
    """The chat format of a real tokenizer, by the project's own way to it."""
    from magpie_hub.generate.generator import load_chat
    from magpie_hub.models.source import pin
    from magpie_hub.paths import home

    recipe = Recipe(name="bench", description="A benchmark.", model=MODEL, rows=1)
    chat = load_chat(recipe, pin(MODEL), home())
    return chat, Speech.of(chat.codec.encode, chat.post_query)


def summary(kind: Kind, runs: list[dict[str, float]]) -> dict[str, Any]:
    """Medians of the runs of one kind, in milliseconds a row."""
    one = runs[0]
    parts = ("ours", "text", "gates", "journal", "rest", "engine")
    each = {part: [run[part] / run["rows"] * 1e3 for run in runs] for part in parts}
    median = {part: round(statistics.median(times), 3) for part, times in each.items()}
    return {
        "tokenizer": kind.tokenizer,
        "turns": kind.turns,
        "rows": int(one["rows"]),
        "rows_passed": int(one["passed"]),
        "tokens_a_turn": round(one["tokens"] / one["turns"], 1),
        "characters_a_turn": round(one["chars"] / one["turns"], 1),
        "milliseconds_a_row": median["ours"],
        "milliseconds_a_row_least": round(min(each["ours"]), 3),
        "milliseconds_a_row_most": round(max(each["ours"]), 3),
        "milliseconds_a_turn": round(
            statistics.median(run["ours"] / run["turns"] * 1e3 for run in runs), 3
        ),
        "parts": {part: median[part] for part in parts[1:-1]},
        "of_the_scripted_engine": median["engine"],
    }


def section(found: dict[str, Any]) -> str:
    """The report's part, as Markdown."""
    kinds, target = found["kinds"], found["target_milliseconds_a_row"]
    rows = "\n".join(
        f"| {k['tokenizer']} | {k['turns']} | {k['rows']:,} | **{k['milliseconds_a_row']}** "
        f"({k['milliseconds_a_row_least']}, {k['milliseconds_a_row_most']}) | "
        f"{k['milliseconds_a_turn']} | "
        + " | ".join(str(k["parts"][part]) for part in ("text", "gates", "journal", "rest"))
        + f" | {k['of_the_scripted_engine']} |"
        for k in kinds
    )
    labels = ", ".join(
        f"{k['tokenizer']}, {k['turns']}: "
        f"{'met' if k['milliseconds_a_turn'] <= target else 'not met'}"
        for k in kinds
    )
    first = kinds[0]
    return f"""## Outside the engine

`benchmarks/overhead.py`: CPU time,
kernel included, of all that is not the engine, with a scripted engine of {found["slots"]} slots
that ends one completion in each turn of the event loop; what it takes by itself is subtracted.
A turn is {first["tokens_a_turn"]} tokens of SmolLM2's, {first["characters_a_turn"]} characters of
the documentation. A row's least and most stand
behind it. Medians of {found["repeats"]} runs of each kind in turn; the parts are the same
work by itself, and the rest is what is left: plan, prompts, look-ups, scheduling, and caches that
are colder when everything takes turns.

| tokenizer | turns | rows | ms a row | ms a turn | text | gates | journal | rest | engine |
|---|---|---|---|---|---|---|---|---|---|
{rows}

Target: {target:g} ms a row of one turn; a row of three is held to three times that ({labels}).
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000, help="of a run with one turn")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    toy = ToyChat(), Speech.of(str.encode, (END, ASSISTANT))
    kinds = [
        Kind(name, chat, speech, turns, given.rows // turns)
        for name, (chat, speech) in (("SmolLM2", real_chat()), ("bytes", toy))
        for turns in (1, 3)
    ]
    runs: list[list[dict[str, float]]] = [[] for _ in kinds]
    for repeat in range(given.repeats):
        for kind, measured in zip(kinds, runs, strict=True):
            measured.append(kind.measure())
            print(f"{repeat} {kind.tokenizer} {kind.turns}: {measured[-1]}", file=sys.stderr)
    found = {
        "slots": SLOTS,
        "repeats": given.repeats,
        "target_milliseconds_a_row": TARGET,
        "kinds": [summary(kind, measured) for kind, measured in zip(kinds, runs, strict=True)],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
