"""Statistics of toy sets: drawn at random, summed up by the real `distribution`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from magpie_hub.release.stats import distribution

CATEGORIES = {
    "Information seeking": 0.36, "Reasoning": 0.12, "Planning": 0.1, "Editing": 0.05,
    "Coding & Debugging": 0.09, "Math": 0.11, "Role playing": 0.03, "Data analysis": 0.03,
    "Creative writing": 0.05, "Advice seeking": 0.03, "Brainstorming": 0.02, "Others": 0.01,
}  # fmt: skip
LANGUAGES = {"EN": 0.93, "ES": 0.02, "DE": 0.015, "FR": 0.015, "ZH": 0.01, "JA": 0.005, "PT": 0.005}
REASONS = {
    "instruction.empty": 0.004,
    "instruction.repetition:loop": 0.02,
    "instruction.repetition:lines": 0.01,
    "instruction.garbage": 0.03,
    "instruction.language:fr": 0.02,
    "instruction.answer_inside": 0.01,
    "instruction.duplicate": 0.02,
    "response.cut_off": 0.05,
    "response.repetition:4gram": 0.02,
    "selection.quality": 0.1,
    "selection.near_duplicate": 0.03,
    "selection.reward": 0.08,
}
"""Shares of planned rows; the rest passes."""


@dataclass(frozen=True)
class Toy:
    """What a generator with its judges does; a damaged one differs in a field."""

    reasons: Mapping[str, float] = field(default_factory=lambda: REASONS)
    categories: Mapping[str, float] = field(default_factory=lambda: CATEGORIES)
    languages: Mapping[str, float] = field(default_factory=lambda: LANGUAGES)
    unsafe: float = 0.02
    failing: float = 0.01
    cut: float = 0.01
    response_tokens: float = 400.0
    reward: float = 0.0

    def draw(self, rng: np.random.Generator, rows: int, turns: int = 1) -> dict[str, Any]:
        """As many rows as are asked for, and the rejects on the way to them."""
        lost = sum(self.reasons.values())
        shares = np.array(list(self.reasons.values())) / lost
        rejects = rng.multinomial(rng.negative_binomial(rows, 1 - lost), shares)
        rejected = {reason: int(n) for reason, n in zip(self.reasons, rejects, strict=True) if n}
        planned = rows + sum(rejected.values())
        failed = int(rng.binomial(rows, self.failing))
        difficulty = {
            "very easy": 0.1,
            "easy": 0.4,
            "medium": 0.35,
            "hard": 0.13,
            "very hard": 0.02,
        }
        unsafe = int(rng.binomial(rows, self.unsafe))
        labels = {
            "task_category": _mix(rng, self.categories, rows, failed),
            "difficulty": _mix(rng, difficulty, rows, failed),
            "input_quality": _mix(
                rng, {"average": 0.3, "good": 0.5, "excellent": 0.2}, rows, failed
            ),
            "language": _mix(rng, self.languages, rows),
            "safe": {"counts": {"safe": rows - unsafe, "unsafe": unsafe}, "missing": 0},
        }
        lengths = {}
        for end in ["", *(f"_{turn}" for turn in range(2, turns + 1))]:
            labels[f"finish_reason{end}"] = _mix(
                rng, {"stop": 1 - self.cut, "length": self.cut}, rows
            )
            for name, middle in (("instruction", 30.0), ("response", self.response_tokens)):
                tokens = np.maximum(1, rng.lognormal(np.log(middle), 0.8, rows)).astype(np.int64)
                lengths[f"{name}_tokens{end}"] = distribution(tokens, rows, tail=True)
        # A long tail to the left, as of a reward model.
        rewards = self.reward - 2 * rng.gumbel(size=rows)
        above = self.reward + rng.normal(1, 1.5, rows)
        return {
            "rows": rows,
            "turns": turns,
            "funnel": {"planned": planned, "rejected": rejected, "delivered": rows},
            "yield": round(rows / planned, 6),
            "lengths": lengths,
            "labels": labels,
            "numbers": {
                "instruct_reward": distribution(rewards, rows),
                "reward_difference": distribution(above, rows),
            },
            "failures": {"tags": {"cut_off": failed}} if failed else {},
        }


def _mix(
    rng: np.random.Generator, shares: Mapping[str, float], rows: int, missing: int = 0
) -> dict[str, Any]:
    weights = np.array(list(shares.values()))
    counts = rng.multinomial(rows - missing, weights / weights.sum())
    found = {label: int(n) for label, n in zip(shares, counts, strict=True) if n}
    return {"counts": found, "missing": missing}
