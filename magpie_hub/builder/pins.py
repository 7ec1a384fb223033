"""What determines a recipe's rows beyond its text: models on this machine, gates, the method."""

from __future__ import annotations

from magpie_hub.gates.registry import verdict_settings
from magpie_hub.judges.models import judge_models
from magpie_hub.models.source import is_remote, pin
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import fingerprint, recipe_fingerprint


def rows_fingerprint(recipe: Recipe) -> str:
    """16 hexadecimal digits of everything that determines a recipe's rows here.

    A folder or a package may have changed in place. The Hub is not asked about a model: a cached
    dataset loads without the network, and a recipe without a revision keeps, on one machine, the
    commit that its first rows were generated with. To use a newer commit, set `model_revision`.

    Raises:
        ModelError: A folder holds no whole model.
    """
    names = {recipe.model, *(str(one.model) for one in judge_models(recipe).values())}
    pins = {name: pin(name).revision for name in sorted(names) if not is_remote(name)}
    said = {"recipe": recipe_fingerprint(recipe), "pins": pins}
    return fingerprint(said, verdict_settings(recipe))
