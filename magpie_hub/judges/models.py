"""The panel: which models judge by a recipe, and at which revisions.

A recipe that names no revision keeps the one that its rows were judged with first: it is written
into their journal, and a commit to the model's repository labels nothing anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from magpie_hub.judges.tags import tag_settings
from magpie_hub.models.source import ModelSource, pin
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import fingerprint
from magpie_hub.recipe.judges import ModelConfig
from magpie_hub.recipe.selection import Quality
from magpie_hub.store.rows import QualityThreshold

REVISIONS = "judges"
"""The journal's meta key of the judges' pinned revisions."""


def judge_models(recipe: Recipe) -> dict[str, ModelConfig]:
    """The models that judge, by judge; the generator is not among them when it tags."""
    models = recipe.judges.models
    if tags_itself(recipe):
        del models["tags"]
    return models


def tags_itself(recipe: Recipe) -> bool:
    """Whether the generator is the tagger, so that one engine does both."""
    tags = recipe.judges.tags
    return (
        tags is not None
        and tags.model in (None, recipe.model)
        and tags.revision in (None, recipe.model_revision)
        and tags.quantization in (None, recipe.quantization)
    )


def quality_threshold(recipe: Recipe, generator: ModelSource) -> QualityThreshold | None:
    """What a first instruction must reach before it is answered, by the recipe."""
    tags, least = recipe.judges.tags, recipe.selection.min_quality
    if tags is None or not tags.before_responding or least is None:
        return None
    levels = get_args(Quality)
    judge = tag_settings(generator.name, generator.revision, tags.mode)
    return QualityThreshold(frozenset(levels[levels.index(least) :]), fingerprint(judge))


def pin_judges(recipe: Recipe, known: Mapping[str, str]) -> dict[str, str]:
    """Pins the judges' models.

    Args:
        recipe: The recipe.
        known: Revisions that this journal's rows were judged with, by what the recipe says.

    Returns:
        Revisions by what the recipe says, the known ones among them.

    Raises:
        ModelError: A model cannot be found.
    """
    pinned = dict(known)
    for model in judge_models(recipe).values():
        if model_key(model) not in pinned:
            pinned[model_key(model)] = pin(str(model.model), model.revision).revision
    return pinned


def judges_pinned(recipe: Recipe, known: Mapping[str, str]) -> bool:
    """Whether all judges' revisions are known."""
    return all(model_key(model) in known for model in judge_models(recipe).values())


def model_key(model: ModelConfig) -> str:
    """A judge's model as the recipe names it."""
    return f"{model.model}@{model.revision}" if model.revision else str(model.model)
