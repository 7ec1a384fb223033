"""Fingerprints by stage: what a change costs is what it touches.

The first turns depend on the generator, its chat format, the sampling, the seed and the gates;
each further turn on those and on the later-turn settings. Rows, turns, the card and everything
that only says *where* to run are in no fingerprint: more rows, more turns or another engine
continue what is there.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from magpie_hub.recipe.model import Recipe

METHOD = 1
"""Version of the method as coded here; raised when the same recipe would draw other rows."""


def first_turn_settings(recipe: Recipe, revision: str) -> dict[str, Any]:
    """What determines first turns, as plain data.

    Args:
        recipe: The recipe with this run's knobs.
        revision: The generator's pinned revision.
    """
    return {
        "method": METHOD,
        "model": recipe.model,
        "revision": revision,
        "quantization": recipe.quantization,
        "max_model_len": recipe.max_model_len,
        "seed": recipe.seed,
        "chat": recipe.chat.model_dump(mode="json"),
        "instruct": recipe.instruct.model_dump(mode="json"),
        "respond": recipe.respond.model_dump(mode="json"),
        "gates": recipe.gates.model_dump(mode="json"),
    }


def later_turn_settings(recipe: Recipe) -> dict[str, Any]:
    """What determines later turns beyond what determines the first, as plain data."""
    return {"method": METHOD, "later_turns": recipe.later_turns.model_dump(mode="json")}


def fingerprint(*settings: dict[str, Any]) -> str:
    """16 hexadecimal digits that name settings."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recipe_fingerprint(recipe: Recipe) -> str:
    """16 hexadecimal digits of everything that a recipe says, this run's knobs included."""
    return fingerprint({"method": METHOD, "recipe": recipe.model_dump(mode="json")})
