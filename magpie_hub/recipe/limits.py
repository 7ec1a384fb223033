"""Limits and temperatures for another model than the one that a recipe was written for.

The published settings are those of models of 8 and 70 billion parameters. A model with a shorter
context cannot hold such conversations, and one of less than a billion parameters repeats itself in
them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from magpie_hub.recipe.config import Recipe

SMALL = 1_000_000_000
"""Below this number of parameters a model is small. It seldom ends texts well that are longer than
the limits below, or sampled at a higher temperature."""
SMALL_FIRST = 256
SMALL_ANSWER = 512
SMALL_HOTTEST = 1.0
SMALL_ANSWERS_AT = 0.7
"""Temperature of responses instead of greedy decoding, in which a small model repeats itself."""

TEMPLATE_TOKENS = 256
"""Tokens of a context that are reserved for the chat template and a system prompt."""


def fit_limits(
    recipe: Recipe,
    *,
    context: int | None,
    parameters: int | None,
    kept: Collection[str] = (),
) -> tuple[Recipe, list[str]]:
    """Lowers limits and temperatures that are too high for a model.

    Args:
        recipe: The run's recipe.
        context: Tokens that the model was made for; None if unknown.
        parameters: Number of its parameters; None if unknown.
        kept: Keys with dots that were set for this run; they do not change.

    Returns:
        The recipe, and the changes, each as 'key: old → new'.
    """
    instruct, respond, later = (
        recipe.instruct.model_dump(),
        recipe.respond.model_dump(),
        recipe.later_turns.model_dump(),
    )
    sections = {"instruct": instruct, "respond": respond, "later_turns": later}
    most: dict[str, int] = {}
    if context is not None:
        # A whole conversation fits, with responses twice as long as instructions.
        turn = max(48, min(context, recipe.max_model_len or context) - TEMPLATE_TOKENS)
        third = turn // (3 * recipe.turns)
        most = {"instruct": third, "respond": 2 * third, "later_turns": third}
    changes: list[str] = []

    def change(section: str, key: str, value: Any) -> None:
        name = f"{section}.{key}"
        if name not in kept and section not in kept and sections[section][key] != value:
            changes.append(f"{name}: {sections[section][key]:g} → {value:g}")
            sections[section][key] = value

    small = parameters is not None and parameters < SMALL
    if small:
        ours = {"instruct": SMALL_FIRST, "respond": SMALL_ANSWER, "later_turns": SMALL_FIRST}
        most = {name: min(limit, most.get(name, limit)) for name, limit in ours.items()}
        if respond["temperature"] == 0:
            change("respond", "temperature", SMALL_ANSWERS_AT)
        change("later_turns", "temperature", min(later["temperature"], SMALL_HOTTEST))
        if not any(key == "instruct" or key.startswith("instruct.grid") for key in kept):
            before = max(point["temperature"] for point in instruct["grid"]["points"])
            for point in instruct["grid"]["points"]:
                point["temperature"] = min(point["temperature"], SMALL_HOTTEST)
            if before > SMALL_HOTTEST:
                changes.append(f"temperatures of the grid: at most {before:g} → {SMALL_HOTTEST:g}")
    for section, limit in most.items():
        if section != "later_turns" or recipe.turns > 1:
            change(section, "max_tokens", min(sections[section]["max_tokens"], limit))
    update: dict[str, Any] = dict(sections)
    if small and recipe.oversample > 1 and "oversample" not in kept:
        # The longest responses of a small model are usually its worst.
        update["oversample"] = 1.0
        changes.append(f"oversample: {recipe.oversample:g} → 1")
    if not changes:
        return recipe, []
    return Recipe.model_validate(recipe.model_dump() | update), changes
