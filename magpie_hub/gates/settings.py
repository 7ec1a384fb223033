"""What determines what a recipe's gates say of generated words, for a fingerprint of verdicts."""

from __future__ import annotations

from typing import Any

from magpie_hub.gates import build_gates
from magpie_hub.recipe.config import Recipe

READING = 1
"""Version of how words are read before any gate: the faults that a chat format finds in an answer,
and which first instructions are the same. Raised when the same words would be judged otherwise."""


def verdict_settings(recipe: Recipe) -> dict[str, Any]:
    """What determines what gates say of generated words, as plain data.

    Args:
        recipe: The recipe; its gates' packages need not be installed.
    """
    return {
        "reading": READING,
        "before_responding": recipe.gates.before_responding,
        "duplicate": recipe.gates.duplicate,
        "gates": build_gates(recipe.gates.rules, to_run=False).resolved(),
    }
