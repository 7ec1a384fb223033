"""Reads YAML text as a `Recipe`; a mistake is one line with file, line, key and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from magpie_hub.errors import RecipeError, one_line
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.settings import Setting, put
from magpie_hub.recipe.strict_yaml import MOST_CHARACTERS, NotYaml, read_yaml

RENAMED = {"revision": "model_revision", "trust_remote_code": "trust_model_code"}
"""Keys by names that users may expect; `load_dataset` keeps those names for itself."""

MOST_FINDINGS = 12
"""Most findings in one line; a file with more is no recipe."""


def load_recipe(path: str | Path, settings: Iterable[Setting] = ()) -> Recipe:
    """Reads a recipe file.

    Args:
        path: A YAML file.
        settings: This run's settings, as if the recipe said so.

    Raises:
        RecipeError: It cannot be read, or is not a recipe; the one-line message names the file,
            the line, the key, and what is allowed there.
    """
    path = Path(path)
    try:
        if path.stat().st_size > 4 * MOST_CHARACTERS:
            raise RecipeError(f"{path}: {path.stat().st_size:,} bytes are too many for a recipe")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RecipeError(f"{path}: the recipe cannot be read: {reason}") from error
    return parse_recipe(text, str(path), settings)


def parse_recipe(text: str, origin: str, settings: Iterable[Setting] = ()) -> Recipe:
    """Reads a recipe from YAML text.

    Args:
        text: The YAML.
        origin: Its name in messages, usually the file's path.
        settings: This run's settings, as if the recipe said so.

    Raises:
        RecipeError: As in `load_recipe`.
    """
    try:
        document = read_yaml(text)
    except NotYaml as error:
        raise RecipeError(f"{origin}: {error}") from None
    data = document.data
    if not isinstance(data, dict):
        raise RecipeError(f"{origin}: a recipe is a mapping of keys, such as 'model: …'")
    labels = {}
    if settings:
        data = _copy(data)
        for setting in settings:
            put(data, setting)
            labels[setting.key] = f"{setting.label} {setting.key}"
    try:
        return Recipe.model_validate(_tuples(data))
    except ValidationError as error:
        raise RecipeError(explain(error, labels, document.line, origin)) from None


def apply(recipe: Recipe, settings: Iterable[Setting]) -> Recipe:
    """A recipe with settings that are known to be valid for it."""
    data = _lists(recipe.model_dump())
    for setting in settings:
        put(data, setting)
    return Recipe.model_validate(_tuples(data))


def explain(
    error: ValidationError,
    labels: Mapping[str, str] | None = None,
    line_of: Callable[[Sequence[int | str]], int | None] = lambda path: None,
    origin: str = "",
) -> str:
    """Puts all of pydantic's findings into one line.

    Args:
        error: Pydantic's error.
        labels: How a key was given if it is not in the file, by key with dots.
        line_of: The line of a key in the file.
        origin: The file.

    Returns:
        'file: line 3: key: what is wrong; what is allowed', several with "; and" between them.
    """
    found: dict[str, ErrorDetails] = {}
    for one in error.errors(include_url=False):
        # A choice of types (`bool | dict`) fails once for each of them.
        found.setdefault(_key(one["loc"]), one)
    told = []
    for key, one in list(found.items())[:MOST_FINDINGS]:
        said = _said(one, brief=len(found) > 1)
        label = _label(key, labels or {})
        if label:
            told.append(f"{label}: {said}")
            continue
        line = line_of([part for part in one["loc"] if part != "[key]"])
        place = (
            f"{origin}: " if origin and not any(t.startswith(f"{origin}: ") for t in told) else ""
        )
        place += f"line {line}: " if line else ""
        told.append(place + (f"{key}: {said}" if key else said))
    more = len(found) - MOST_FINDINGS
    return "; and ".join(told) + (f"; and {more} more" if more > 0 else "")


def nearest_keys(key: str) -> list[str]:
    """Keys of a recipe, with dots, that the user may mean by an unknown one."""
    if key in RENAMED:
        return [RENAMED[key]]
    known = list(_all_keys(Recipe, ""))
    same = [one for one in known if one.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    return same[:4] or difflib.get_close_matches(key, known, n=1)


def _all_keys(section: type[BaseModel], above: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield above + name
        inner = _model_in(field.annotation)
        if inner is not None:
            listed = "tuple" in str(field.annotation)
            yield from _all_keys(inner, f"{above}{name}.{'0.' if listed else ''}")


def _copy(value: Any) -> Any:
    # Without the aliases that YAML leaves between parts: a setting changes one place.
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    # YAML lists become tuples, which is what frozen models hold; strict mode converts neither way.
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value


def _label(key: str, labels: Mapping[str, str]) -> str | None:
    """How a key was given, or a key above it, or else one below it."""
    above = key
    while above:
        if above in labels:
            return labels[above] + key[len(above) :]
        above = above.rpartition(".")[0]
    return next((labels[one] for one in labels if key and one.startswith(f"{key}.")), None)


def _key(location: Sequence[int | str]) -> str:
    # A choice of types puts the type's name into the location, and a key that is wrong "[key]".
    parts = [str(part) for part in location]
    if parts and parts[-1] in ("bool", "int", "float", "str"):
        parts.pop()
    return ".".join(one_line(repr(part)[1:-1], 60) for part in parts if "[" not in part)


def _said(error: ErrorDetails, *, brief: bool) -> str:
    """What is wrong, and what is allowed; shorter if there are other findings."""
    kind, value, hint = error["type"], error["input"], ""
    if kind == "extra_forbidden":
        name = str(error["loc"][-1])
        allowed = sorted(_section_at(error["loc"][:-1]).model_fields)
        near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.7)
        near = near or nearest_keys(_key(error["loc"]))
        near = near or difflib.get_close_matches(name, allowed, n=1)
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        listed = "" if brief and near else f"; allowed here: {', '.join(allowed)}"
        return f"unknown key{hint}{listed}"
    if kind == "missing":
        return "this key is needed"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if kind in ("value_error", "assertion_error"):
        return message
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        message = "should be a mapping of keys"
    elif kind == "tuple_type":
        message = "should be a list"
    elif kind == "string_type":
        message = "should be a text"
        if isinstance(value, bool | int | float):
            hint = "; write it in quotes, for YAML reads it as another thing"
    elif kind == "string_pattern_mismatch":
        message = _PATTERNS.get(str(error.get("ctx", {}).get("pattern")), message)
    elif kind in ("int_type", "float_type") and isinstance(value, str):
        hint = "; a number has no quotes, and a point if it has an exponent (1.0e-5)"
    try:
        shown = repr(value)
    except ValueError:  # an int of more digits than Python writes out
        shown = "a number of thousands of digits"
    return f"{message}, not {one_line(shown, 60)}{hint}"


_PATTERNS = {
    r"^[a-z0-9][a-z0-9._-]{0,63}$": "should be lower-case letters, digits, '.', '-' and '_', at "
    "most 64, a letter or digit first",
    r"^[^\x00-\x1f\x7f]+$": "should be one line of text without control characters",
    r"^[A-Za-z]{2,3}$": "should be a code of two or three letters",
}


def _section_at(location: Sequence[int | str]) -> type[BaseModel]:
    """The model whose fields are allowed at a location of pydantic's."""
    section: type[BaseModel] = Recipe
    for part in location:
        if isinstance(part, int):
            continue
        field = section.model_fields.get(part)
        if field is None:
            continue
        inner = _model_in(field.annotation)
        if inner is not None:
            section = inner
    return section


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
