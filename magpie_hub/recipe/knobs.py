"""One name for one knob: recipe field, command-line option, builder keyword, MAGPIE_* variable.

The nearest wins: keyword or option over environment over recipe. The environment is read here and
only here, at the door, by whoever opens a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import yaml
from pydantic import ValidationError

from magpie_hub.errors import UserError
from magpie_hub.recipe.judges import Judges
from magpie_hub.recipe.load import explain
from magpie_hub.recipe.model import Recipe

PREFIX = "MAGPIE_"


@dataclass(frozen=True, slots=True)
class Knob:
    """A recipe field that one run may change.

    Attributes:
        name: Field name.
        type: int, float, bool or str.
        choices: Allowed values, if they are listed.
        help: What it does, for help texts.
    """

    name: str
    type: type
    choices: tuple[str, ...]
    help: str

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper()

    @property
    def option(self) -> str:
        """Its command-line option."""
        return "--" + self.name.replace("_", "-")


def _knobs() -> dict[str, Knob]:
    knobs = {}
    for name, field in Recipe.model_fields.items():
        extra = field.json_schema_extra
        if not (isinstance(extra, dict) and extra.get("knob")):
            continue
        kind, choices = _type_of(field.annotation)
        knobs[name] = Knob(name, kind, choices, field.description or "")
    return knobs


def _type_of(annotation: Any) -> tuple[type, tuple[str, ...]]:
    if annotation in (int, float, bool, str):
        return annotation, ()
    arguments = get_args(annotation)
    if getattr(annotation, "__origin__", None) is Literal:
        return str, tuple(str(argument) for argument in arguments)
    for argument in arguments:
        if argument is not type(None):
            return _type_of(argument)
    raise TypeError(f"a knob of type {annotation!r}")  # pragma: no cover - a mistake of ours


KNOBS: dict[str, Knob] = _knobs()


def turn_knobs(
    recipe: Recipe,
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    how: str = "{name}",
) -> Recipe:
    """Applies one run's knobs to a recipe.

    Args:
        recipe: As read from its file.
        given: Keywords or options by name; None means not given.
        environment: Usually `os.environ`; only ``MAGPIE_*`` names of knobs are read.
        how: How the caller writes a keyword, for messages: "{name}" or "{option}".

    Returns:
        The recipe with the changed fields, validated again.

    Raises:
        UserError: An unknown keyword, or a value that the field refuses; one line names the
            option or variable.
    """
    unknown = sorted(set(given) - set(KNOBS))
    if unknown:
        raise UserError(f"{unknown[0]}: no such setting; there are {', '.join(sorted(KNOBS))}")
    data = recipe.model_dump()
    labels: dict[str, str] = {}
    for name, knob in KNOBS.items():
        text = environment.get(knob.variable)
        if given.get(name) is not None:
            data[name] = given[name]
            labels[name] = how.format(name=name, option=knob.option)
        elif text:
            data[name] = _parse(knob, text)
            labels[name] = knob.variable
    if not labels and recipe.judging != "off":
        return recipe
    foreign = data["model"] != recipe.model
    if data["judging"] == "off":
        data["judges"] = Judges().model_dump()
        data["selection"] = {"longest": recipe.selection.longest}
    if foreign:
        # These belong to the recipe's own model: another model does not have them.
        if "model_revision" not in labels:
            data["model_revision"] = None
        data["memory_gib"] = None
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        key, line = explain(error)
        raise UserError(line.replace(key, labels.get(key, key), 1) if key else line) from None


def _parse(knob: Knob, text: str) -> Any:
    if knob.type is str:
        return text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if knob.type is bool and value in (0, 1):
        return bool(value)
    return value
