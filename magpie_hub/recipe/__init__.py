"""Recipes: the strict YAML files that determine a dataset. Data, never code."""

from magpie_hub.recipe.load import load_recipe, parse_recipe
from magpie_hub.recipe.model import Recipe
from magpie_hub.recipe.variants import find_recipe, variant_names

__all__ = ["Recipe", "find_recipe", "load_recipe", "parse_recipe", "variant_names"]
