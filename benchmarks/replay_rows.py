"""Rows to replay: the recorded lengths of a real run, drawn again and again.

A row's instructions and responses stay together, and a row that was rejected on the way has as few
requests as it had then. What was written is not recorded, only how long it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.replay_engine import slot_steps
from magpie_hub.engines.base import Sampling
from magpie_hub.errors import UserError

TEMPLATE = 16
"""Tokens of a chat template before each request of a row: 5 to 25 in the models of the recipes."""

AIR, LIMIT = (426.39, 217.39), 4096
"""Tokens a turn, mean and standard deviation (Table 4 of arXiv 2406.08464v2); tokens at most."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Lengths of a real run.

    Attributes:
        name: The file's name, without its ending.
        model: What wrote them.
        engine: On what.
        turns: Turns of a whole conversation.
        slots: Slots of the engine.
        rows: Decoded tokens of each request of a row, in order; stop tokens not counted. A row that
            was rejected on the way has fewer.
        steps: Decode steps of our run; None where nothing ran.
        limit_steps: Decode steps of the run in which the engine had all requests at once.
    """

    name: str
    model: str
    engine: str
    turns: int
    slots: int
    rows: tuple[tuple[int, ...], ...]
    steps: int | None
    limit_steps: int | None

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Reads the JSON that `benchmarks/generate.py --record` writes."""
        told = json.loads(path.read_text())
        return cls(
            path.stem,
            told["model"],
            told["engine"],
            told["turns"],
            told["slots"],
            tuple(tuple(row) for row in told["rows"]),
            told["steps"],
            told["limit_steps"],
        )

    @property
    def limits(self) -> tuple[int, int]:
        """The longest instruction and the longest response, in tokens."""
        instruction, response = (
            max((tokens for row in self.rows for tokens in row[side::2]), default=0)
            for side in (0, 1)
        )
        return instruction, response

    @classmethod
    def published(cls, seed: int = 0) -> Recording:
        """Rows as long as those of Llama-3-Magpie-Air, which no small model writes.

        Of these lengths only a mean and a deviation are published (`AIR`). A turn's tokens are
        drawn from the lognormal distribution that has them; an eighth of them is the instruction,
        no row is rejected, and nothing is longer than the official scripts' limit.
        """
        mean, deviation = AIR
        spread = math.log1p((deviation / mean) ** 2)
        centre = math.log(mean) - spread / 2
        drawn = np.random.default_rng(seed).lognormal(centre, math.sqrt(spread), 10_000)
        turns = np.clip(drawn, 8, LIMIT).astype(int).tolist()
        rows = tuple((tokens // 8, tokens - tokens // 8) for tokens in turns)
        return cls("air", "Llama-3-8B-Instruct", "nothing", 1, 0, rows, None, None)


class Rows:
    """Rows to replay.

    A recording does not say why a request ended. One that is as long as the longest of its side
    counts as cut off by the limit, every other as ended by a stop token.

    Args:
        recording: Where they come from.
        picks: Which recorded row each row is; after the last they begin again.
        count: Rows that are needed, at most: the last of them is the last that passes.

    Attributes:
        count: Rows that are needed.
        wanted: Of these, the rows that pass.
        steps: Slot-steps of each request, shape (count, 2 x turns); 0 where a row has none.
        prompt_tokens: Of all requests, if nothing is cached.
    """

    def __init__(self, recording: Recording, picks: Sequence[int], count: int) -> None:
        self._whole, self._picks = 2 * recording.turns, list(picks)
        limits = recording.limits
        self._requests = [
            tuple(
                Sampling(tokens, stop_ids=(0,) if tokens < limits[place % 2] else ())
                for place, tokens in enumerate(row)
            )
            for row in recording.rows
        ]
        passing = [self.passes(row_id) for row_id in range(count)]
        if True not in passing:
            raise UserError(f"{recording.name}: no recorded row is whole; record more rows")
        self.count = len(passing) - passing[::-1].index(True)
        self.wanted = sum(passing)
        steps = np.zeros((len(recording.rows), self._whole), np.int64)
        prompts = np.zeros_like(steps)
        for index, requests in enumerate(self._requests):
            steps[index, : len(requests)] = [slot_steps(request) for request in requests]
            prompts[index, : len(requests)] = [len(prompt) for prompt in prompts_of(requests)]
        needed = self._picks[: self.count]
        self.steps = steps[needed]
        self.prompt_tokens = int(prompts[needed].sum())

    @classmethod
    def drawn(cls, recording: Recording, count: int, seed: int = 0) -> Rows:
        """Draws rows, and some more than are needed for those who start too many."""
        picks = np.random.default_rng(seed).integers(len(recording.rows), size=count + 10_000)
        return cls(recording, picks.tolist(), count)

    @classmethod
    def recorded(cls, recording: Recording) -> Rows:
        """The rows as they were."""
        return cls(recording, range(len(recording.rows)), len(recording.rows))

    def requests(self, row_id: int) -> tuple[Sampling, ...]:
        """A row's requests, in order."""
        return self._requests[self._picks[row_id % len(self._picks)]]

    def passes(self, row_id: int) -> bool:
        """Whether a row has all its requests."""
        return len(self.requests(row_id)) == self._whole


def prompts_of(requests: Sequence[Sampling]) -> Iterator[range]:
    """Prompts of a row's requests: what stands before them, with a template before each."""
    length = TEMPLATE
    for request in requests:
        yield range(length)
        length += request.max_tokens + TEMPLATE
