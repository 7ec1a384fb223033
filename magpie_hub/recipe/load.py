"""From YAML text to a `Recipe`, or to one line that names file, key and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from magpie_hub.errors import RecipeError
from magpie_hub.recipe.model import Recipe


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice (YAML itself silently takes the last)."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is not a text", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is given twice", key_node.start_mark
            )
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_recipe(path: str | Path) -> Recipe:
    """Reads a recipe file.

    Args:
        path: A YAML file.

    Raises:
        RecipeError: It cannot be read, or is not a recipe; the one-line message names the file,
            the key, and what is allowed there.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RecipeError(f"{path}: the recipe cannot be read: {reason}") from error
    return parse_recipe(text, origin=str(path))


def parse_recipe(text: str, origin: str) -> Recipe:
    """Reads a recipe from YAML text.

    Args:
        text: The YAML.
        origin: What to call it in messages, usually the file's path.

    Raises:
        RecipeError: As in `load_recipe`.
    """
    try:
        data = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{origin}: {where}not valid YAML: {what}") from None
    if not isinstance(data, dict):
        raise RecipeError(f"{origin}: a recipe is a mapping of keys, such as 'model: …'")
    try:
        return Recipe.model_validate(_tuples(data))
    except ValidationError as error:
        raise RecipeError(f"{origin}: {explain(error)[1]}") from None


def explain(error: ValidationError) -> tuple[str, str]:
    """Puts pydantic's findings into one line.

    Returns:
        The key of the first finding, with dots ("" for the recipe as a whole), and the line
        'key: what is wrong; what is allowed'.
    """
    found = error.errors(include_url=False)
    key, line = _line(found[0])
    return key, line + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")


def _tuples(value: Any) -> Any:
    # YAML lists become tuples, which is what frozen models hold; strict mode converts neither way.
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value


def _line(error: ErrorDetails) -> tuple[str, str]:
    # A choice of types (`bool | dict`) puts the type's name into the location; that is no key.
    parts = [str(part) for part in error["loc"]]
    key = ".".join(part for part in parts if part != "bool" and "[" not in part)
    kind = error["type"]
    if kind == "extra_forbidden":
        allowed = sorted(_section_at(error["loc"][:-1]).model_fields)
        near = difflib.get_close_matches(parts[-1], allowed, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return key, f"{key}: unknown key{hint}; allowed here: {', '.join(allowed)}"
    if kind == "missing":
        return key, f"{key}: this key is needed"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if kind == "value_error":
        return key, f"{key}: {message}" if key else message
    if kind in ("model_type", "dict_type"):
        message = "should be a mapping of keys"
    elif kind == "tuple_type":
        message = "should be a list"
    value = repr(error["input"])
    if len(value) > 60:
        value = value[:57] + "…"
    return key, f"{key}: {message}, not {value}"


def _section_at(location: tuple[int | str, ...]) -> type[BaseModel]:
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
