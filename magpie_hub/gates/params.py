"""Range checks for gate parameters: a wrong one is a `RecipeError` of one line."""

from __future__ import annotations

from magpie_hub.errors import RecipeError


def check_whole(gate: str, name: str, value: object, low: int, high: int) -> None:
    """Raises RecipeError unless `value` is a whole number in [low, high] (a bool is not)."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RecipeError(
            f"gate {gate}: {name} must be a whole number from {low} to {high}, not {value!r}"
        )


def check_share(gate: str, name: str, value: object) -> None:
    """Raises RecipeError unless `value` is a number in [0, 1] (a bool is not)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise RecipeError(f"gate {gate}: {name} must be a number from 0 to 1, not {value!r}")
