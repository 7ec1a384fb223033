"""The recipe of one run: found by name, its knobs turned, everything in it checked.

Apart from `magpie_hub.job`, so that who only wants to know what a recipe says, as a builder does
whose rows are cached, imports nothing of what generates rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from magpie_hub.errors import RecipeError
from magpie_hub.recipe.as_run import in_true_words
from magpie_hub.recipe.knobs import turn_knobs
from magpie_hub.recipe.load import load_recipe
from magpie_hub.recipe.model import Recipe
from magpie_hub.recipe.variants import find_recipe


def open_recipe(
    name: str | Path,
    knobs: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    how: str = "{name}",
) -> Recipe:
    """A variant's or a path's recipe, with this run's knobs turned and everything checked.

    Args:
        name: Variant name or recipe path.
        knobs: Keywords or options by name; None values are not given.
        environment: For ``MAGPIE_*`` variables; this process's by default.
        how: How the caller spells a knob in messages: "{name}" or "{option}".

    Raises:
        UserError: No such recipe, or something in it or in the knobs is refused.
    """
    path = find_recipe(name)
    recipe = load_recipe(path)
    if recipe.gates.rules:
        from magpie_hub.gates import build_gates

        try:
            build_gates(recipe.gates.rules)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None
    run = turn_knobs(recipe, knobs or {}, os.environ if environment is None else environment, how)
    if run.model != recipe.model and run.judging == "auto" and run.judges.names:
        from magpie_hub.judges.fit import keep_what_works

        run = keep_what_works(run, recipe.model)
    return in_true_words(recipe, run)
