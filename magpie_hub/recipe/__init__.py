"""Recipes: the strict YAML files that determine a dataset. Data, never code."""
