"""The recipe of one run: found by name, its keys set, its knobs turned, everything in it checked.

Apart from `magpie_hub.job`, so that who only wants to know what a recipe says, as a builder does
whose rows are cached, imports nothing of what generates rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from magpie_hub.errors import RecipeError
from magpie_hub.recipe.as_run import in_true_words
from magpie_hub.recipe.knobs import KNOBS, turn_knobs, warn_of_typos
from magpie_hub.recipe.load import apply, load_recipe
from magpie_hub.recipe.model import Recipe
from magpie_hub.recipe.settings import NAME, Setting, read_settings
from magpie_hub.recipe.variants import find_recipe


def open_recipe(
    name: str | Path,
    knobs: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    how: str = "{name}",
) -> Recipe:
    """A variant's or a path's recipe, with this run's knobs turned and everything checked.

    Args:
        name: Variant name, recipe path, or a folder with one recipe in it.
        knobs: Keywords or options by name; None values are not given. `settings` holds any other
            keys of the recipe: see `magpie_hub.recipe.settings`.
        environment: For ``MAGPIE_*`` variables; this process's by default.
        how: How the caller spells a knob in messages: "{name}" or "{option}".

    Raises:
        UserError: No such recipe, or something in it or in the knobs is refused.
    """
    path = find_recipe(name)
    return set_up(partial(load_recipe, path), str(path), knobs, environment, how)


def set_up(
    read: Callable[[Sequence[Setting]], Recipe],
    origin: str,
    knobs: Mapping[str, Any] | None,
    environment: Mapping[str, str] | None,
    how: str,
) -> Recipe:
    """A recipe from wherever it is read, with this run's knobs turned and everything checked.

    Args:
        read: Reads it, with settings as if it said so.
        origin: What to call it in messages.
        knobs: See `open_recipe`, as for the others.

    Raises:
        UserError: See `open_recipe`.
    """
    given = dict(knobs or {})
    environment = os.environ if environment is None else environment
    warn_of_typos(environment)
    settings = read_settings(given.pop(NAME, None), environment, how)
    recipe = read([one for one in settings.values() if one.key not in KNOBS])
    if recipe.gates.rules:
        from magpie_hub.gates import build_gates

        try:
            build_gates(recipe.gates.rules)
        except RecipeError as error:
            raise RecipeError(f"{origin}: {error}") from None
    run = turn_knobs(recipe, given, environment, how, settings)
    if run.model != recipe.model and run.judging == "auto" and run.judges.names:
        from magpie_hub.judges.fit import keep_what_works

        run = keep_what_works(run, recipe.model)
    return _insist(in_true_words(recipe, run), settings.values())


def _insist(recipe: Recipe, settings: Iterable[Setting]) -> Recipe:
    """Words that were set for this very run stand, whatever else would be said of it."""
    words = [one for one in settings if one.key.partition(".")[0] in ("description", "card")]
    return apply(recipe, words) if words else recipe
