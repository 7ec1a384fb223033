"""A recipe's own texts (description and card), for a run that has changed the recipe.

`description` and `card` were written for the recipe in its file. If a run changes what they
describe, texts that are computed from the run replace them.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from magpie_hub.recipe.config import Recipe

SPOKEN_OF = ("model", "turns", "judges", "selection")
"""Fields that a description is about."""


def in_true_words(written: Recipe, run: Recipe) -> Recipe:
    """The run's recipe, with texts that are true for it.

    Args:
        written: The recipe as in its file.
        run: The recipe with the run's overrides.
    """
    changed = {key for key in SPOKEN_OF if getattr(written, key) != getattr(run, key)}
    if not changed:
        return run
    card: dict[str, Any] = {}
    if changed & {"model", "turns"} and run.card.pretty_name is not None:
        card["pretty_name"] = _title(run)
    if "model" in changed:
        # They describe the recipe's own model.
        card |= {"license": None, "language": None, "tags": ()}
    return run.model_copy(
        update={"description": _describe(run), "card": run.card.model_copy(update=card)}
    )


def _called(run: Recipe) -> str:
    """The generator's name; for a folder, the folder's name."""
    return PurePath(run.model_name or run.model).name


def _title(run: Recipe) -> str:
    return f"Magpie {_called(run)}" + (" MT" if run.turns > 1 else "")


def _describe(run: Recipe) -> str:
    what = "Instructions and responses" if run.turns == 1 else f"Conversations of {run.turns} turns"
    return f"{what} written by {_called(run)}; made from the recipe {run.name}."
