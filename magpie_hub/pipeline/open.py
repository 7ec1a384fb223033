"""Opens the recipe of one run: finds it by name, applies settings and overrides, checks all of it.

It is separate from `magpie_hub.pipeline.run`: a builder whose rows are cached reads the recipe and
imports nothing that generates rows.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from magpie_hub.errors import ModelError, RecipeError
from magpie_hub.recipe.as_run import SPOKEN_OF, in_true_words
from magpie_hub.recipe.blocks import block_faults, template_fault
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.load import apply, load_recipe
from magpie_hub.recipe.overrides import OVERRIDES, apply_overrides, warn_of_typos
from magpie_hub.recipe.settings import NAME, Setting, read_settings
from magpie_hub.recipe.variants import find_recipe

log = logging.getLogger("magpie_hub")


def open_recipe(
    name: str | Path,
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    how: str = "{name}",
) -> Recipe:
    """A variant's or a path's recipe, with this run's overrides applied and everything checked.

    Args:
        name: Variant name, recipe path, or a folder with one recipe in it.
        overrides: Keywords or options by name; None values are not given. `settings` holds other
            keys of the recipe: see `magpie_hub.recipe.settings`.
        environment: For ``MAGPIE_*`` variables; this process's by default.
        how: How the caller writes an override, for messages: "{name}" or "{option}".

    Raises:
        UserError: No such recipe, or something in it or in the overrides is refused.
    """
    path = find_recipe(name)
    return set_up(partial(load_recipe, path), str(path), overrides, environment, how)


def set_up(
    read: Callable[[Sequence[Setting]], Recipe],
    origin: str,
    overrides: Mapping[str, Any] | None,
    environment: Mapping[str, str] | None,
    how: str,
) -> Recipe:
    """A recipe from wherever it is read, with this run's overrides applied and everything checked.

    Args:
        read: Reads it, with these settings in it.
        origin: What to call it in messages.
        overrides: See `open_recipe`.
        environment: See `open_recipe`.
        how: See `open_recipe`.

    Raises:
        UserError: See `open_recipe`.
    """
    given = dict(overrides or {})
    environment = os.environ if environment is None else environment
    warn_of_typos(environment)
    settings = read_settings(given.pop(NAME, None), environment, how)
    recipe = read([one for one in settings.values() if one.key not in OVERRIDES])
    run = apply_overrides(recipe, given, environment, how, settings)
    faults = [*_gate_faults(recipe), *block_faults(run.card.blocks, run.turns)]
    if run.chat.template and (fault := template_fault(run.chat.template)):
        faults.append(fault)
    if faults:
        raise RecipeError(f"{origin}: {'; and '.join(faults)}")
    if run.model != recipe.model and run.judging == "auto" and run.judges.names:
        from magpie_hub.judges.fit import keep_what_works

        run = keep_what_works(run, recipe.model)
    if run.model != recipe.model:
        kept = {*settings, *(("oversample",) if run.oversample != recipe.oversample else ())}
        run = _fit(run, kept)
    written = _without(settings.values(), read, recipe)
    return _insist(in_true_words(written, run), settings.values())


def _without(
    settings: Iterable[Setting], read: Callable[[Sequence[Setting]], Recipe], recipe: Recipe
) -> Recipe:
    """The recipe without this run's settings, if one of them changed what its texts describe."""
    if not any(one.key.partition(".")[0] in SPOKEN_OF for one in settings):
        return recipe
    try:
        return read([])
    except RecipeError:  # It is none without them.
        return recipe


def _gate_faults(recipe: Recipe) -> Iterator[str]:
    """What is wrong with a recipe's gates: all faults, not only the first."""
    if not recipe.gates.rules:
        return
    from magpie_hub.gates.registry import build_gates

    for name, rule in recipe.gates.rules.items():
        try:
            build_gates({name: rule})
        except RecipeError as error:
            yield str(error)


def _fit(run: Recipe, kept: set[str]) -> Recipe:
    """Lowers limits to fit another model, and prints a line with the changes."""
    from magpie_hub.judges.fit import pinned
    from magpie_hub.recipe.limits import fit_limits

    try:
        source = pinned(run.model, run.model_revision)
    except ModelError:
        # `Run.open` raises it; a builder may have all rows cached.
        return run
    fitted, changes = fit_limits(
        run, context=source.context_length, parameters=source.parameters, kept=kept
    )
    if changes:
        _tell(
            f"{run.name} with {run.model}: {', '.join(changes)}; --set, or settings={{…}} in "
            "Python, sets them otherwise"
        )
    return fitted


@functools.cache
def _tell(line: str) -> None:
    """Prints a line once: one call of a user opens a recipe several times."""
    log.warning("%s", line)


def _insist(recipe: Recipe, settings: Iterable[Setting]) -> Recipe:
    """Descriptions that were set for this run are kept."""
    words = [one for one in settings if one.key.partition(".")[0] in ("description", "card")]
    return apply(recipe, words) if words else recipe
