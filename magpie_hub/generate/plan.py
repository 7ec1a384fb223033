"""The plan: from a row id to everything that is drawn before the first token.

It is a pure function of the recipe. Seeds depend on the row only, so resuming, the order of
finishing and the number of workers never change which sample is drawn. Row ids are spread over the
sampling grid and the weighted system prompts so that every prefix of the rows has the recipe's mix:
a small run has the proportions of a large one, and a set that grows keeps them.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from magpie_hub.engines.base import Sampling
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.sampling import Point, SystemPrompt

Stage = Literal["instruct", "respond"]

PERIOD = 10_000
"""Longest cycle of the mix; finer weights are rounded to this resolution."""


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """What is known about a row before it is generated.

    Attributes:
        row_id: Global index, from 0.
        seed: The row's seed, 0 ≤ seed < 2**63.
        point: Its point of the sampling grid.
        system: Its system prompt for the first instruction, if the recipe has any.
    """

    row_id: int
    seed: int
    point: Point
    system: SystemPrompt | None


class Plan:
    """The rows of a recipe, by row id."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        points = recipe.instruct.grid.points
        systems: tuple[SystemPrompt | None, ...] = recipe.instruct.systems or (None,)
        pairs = [(point, system) for point in points for system in systems]
        self._mix = interleave([p.rows * (s.weight if s else 1) for p, s in pairs])
        self._pairs = pairs

    def row(self, row_id: int) -> PlannedRow:
        """The planned row of a row id."""
        point, system = self._pairs[self._mix[row_id % len(self._mix)]]
        return PlannedRow(row_id, row_seed(self.recipe.seed, row_id), point, system)

    def instruct(self, row: PlannedRow, turn: int, stop_ids: tuple[int, ...]) -> Sampling:
        """How the user's words of a turn (from 1) are sampled."""
        how = self.recipe.instruct if turn == 1 else self.recipe.later_turns
        point = row.point if turn == 1 else self.recipe.later_turns
        return Sampling(
            max_tokens=how.max_tokens,
            temperature=point.temperature,
            top_p=point.top_p,
            top_k=point.top_k,
            min_p=point.min_p,
            seed=stage_seed(row.seed, "instruct", turn),
            stop_ids=stop_ids,
            loop=how.loop,
        )

    def respond(self, row: PlannedRow, turn: int, stop_ids: tuple[int, ...]) -> Sampling:
        """How the response of a turn (from 1) is sampled."""
        how = self.recipe.respond
        return Sampling(
            max_tokens=how.max_tokens,
            temperature=how.temperature,
            top_p=how.top_p,
            top_k=how.top_k,
            min_p=how.min_p,
            repetition_penalty=how.repetition_penalty,
            seed=stage_seed(row.seed, "respond", turn),
            stop_ids=stop_ids,
            loop=how.loop,
        )


def _hash63(*parts: object) -> int:
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def row_seed(recipe_seed: int, row_id: int) -> int:
    """Seed of a row: a hash of the recipe's seed and the row id, in [0, 2**63)."""
    return _hash63("row", recipe_seed, row_id)


def stage_seed(seed: int, stage: Stage, turn: int) -> int:
    """Seed of one completion of a row: a hash of the row's seed, the stage and the turn."""
    return _hash63("stage", seed, stage, turn)


def row_uuid(model: str, seed: int) -> str:
    """A row's public name: a uuid5 over the generator and the row's seed.

    Stable over resumes and orders, distinct across seeds, equal for a row and its multi-turn
    continuation. (The published scheme hashes the model's name and a running index, by which two
    runs share their ids.)
    """
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{model}_{seed}"))


def interleave(weights: Sequence[int]) -> list[int]:
    """A cycle of indices in which every prefix holds the weights' proportions.

    Smooth weighted round-robin: each step the index that is furthest behind its share is taken,
    so that in every prefix each index's count is within one or two of its share.

    Args:
        weights: Positive integers.

    Returns:
        A list in which index i occurs in proportion to weights[i]; its length is at most `PERIOD`,
        unless there are more weights.
    """
    divisor = math.gcd(*weights)
    reduced = [weight // divisor for weight in weights]
    total = sum(reduced)
    if total > PERIOD:
        reduced = [max(1, round(weight * PERIOD / total)) for weight in reduced]
        total = sum(reduced)
    credit = [0] * len(reduced)
    cycle = []
    for _ in range(total):
        for index, weight in enumerate(reduced):
            credit[index] += weight
        chosen = max(range(len(reduced)), key=credit.__getitem__)
        credit[chosen] -= total
        cycle.append(chosen)
    return cycle


def turn_suffix(turn: int) -> str:
    """The end of a turn's column names: "" for the first turn, "_2" for the second, and so on."""
    return "" if turn == 1 else f"_{turn}"
