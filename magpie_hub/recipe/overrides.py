"""One name for one override: recipe field, command-line option, builder keyword, MAGPIE_* variable.

Keywords and options override the environment, which overrides the recipe. The environment is read
only here, when a recipe is opened.
"""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import ValidationError

from magpie_hub.errors import UserError
from magpie_hub.paths import VARIABLE as HOME
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.judges import Judges
from magpie_hub.recipe.load import RENAMED, explain, nearest_keys
from magpie_hub.recipe.settings import VARIABLE, Setting
from magpie_hub.recipe.strict_yaml import NotYaml, read_yaml

log = logging.getLogger("magpie_hub")

PREFIX = "MAGPIE_"


@dataclass(frozen=True, slots=True)
class Override:
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


def _overrides() -> dict[str, Override]:
    overrides = {}
    for name, field in Recipe.model_fields.items():
        extra = field.json_schema_extra
        if not (isinstance(extra, dict) and extra.get("override")):
            continue
        kind, choices = _type_of(field.annotation)
        overrides[name] = Override(name, kind, choices, field.description or "")
    return overrides


def _type_of(annotation: Any) -> tuple[type, tuple[str, ...]]:
    if annotation in (int, float, bool, str):
        return annotation, ()
    arguments = get_args(annotation)
    if getattr(annotation, "__origin__", None) is Literal:
        return str, tuple(str(argument) for argument in arguments)
    for argument in arguments:
        if argument is not type(None):
            return _type_of(argument)
    raise TypeError(f"an override of type {annotation!r}")  # pragma: no cover - a mistake of ours


OVERRIDES: dict[str, Override] = _overrides()


def apply_overrides(
    recipe: Recipe,
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    how: str = "{name}",
    settings: Mapping[str, Setting] | None = None,
) -> Recipe:
    """Applies one run's overrides to a recipe.

    Args:
        recipe: As read from its file.
        given: Keywords or options by name; None means not given.
        environment: Usually `os.environ`; only ``MAGPIE_*`` names of overrides are read.
        how: How the caller writes a keyword, for messages: "{name}" or "{option}".
        settings: The run's settings by key; overrides among them are applied too.

    Returns:
        The recipe with the changed fields, validated again.

    Raises:
        UserError: An unknown keyword, or a value that the field refuses; one line names the
            option or variable.
    """
    for name in given:
        if name not in OVERRIDES:
            near = nearest_keys(name)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise UserError(
                f"{name}: no such setting; {hint}there are {', '.join(sorted(OVERRIDES))}, and "
                "settings for any other key of a recipe"
            )
    data = recipe.model_dump()
    labels: dict[str, str] = {}
    for name, override in OVERRIDES.items():
        found = _given(override, given, environment, how, settings or {})
        if found is not None:
            labels[name], data[name] = found
    if not labels and recipe.judging != "off":
        return recipe
    settings = settings or {}
    foreign = data["model"] != recipe.model
    if data["judging"] == "off":
        data["judges"] = Judges().model_dump()
        data["selection"] = {"longest": recipe.selection.longest}
    if foreign:
        # These describe the recipe's own model, not another one.
        if "model_revision" not in labels:
            data["model_revision"] = None
        if "model_name" not in labels:
            data["model_name"] = None
        data["memory_gib"] = None
        # A value that was set for this run is meant for this model.
        if "memory_gib" in settings:
            data["memory_gib"] = settings["memory_gib"].value
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise UserError(explain(error, labels)) from None


def _given(
    override: Override,
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    how: str,
    settings: Mapping[str, Setting],
) -> tuple[str, Any] | None:
    """How an override was given to this run, and its value; None if it was not."""
    name, text = override.name, environment.get(override.variable)
    setting = settings.get(name)
    value = None
    if setting is not None:
        # A text is used as written, except YAML's words for null.
        written = setting.text if setting.value is not None else None
        value = setting.value if written is None else _parse(override, written)
        said = f"{setting.label} {name}"
    if given.get(name) is not None:
        label = how.format(name=name, option=override.option)
        if setting is not None and setting.near and value != given[name]:
            raise UserError(f"{label}: given twice, as {given[name]!r} and as {value!r} ({said})")
        return label, given[name]
    if setting is not None and setting.near:
        return said, value
    if text:
        parsed = _parse(override, text)
        if setting is not None and value != parsed:
            raise UserError(
                f"{override.variable}: given twice, as {parsed!r} and as {value!r} ({said})"
            )
        return override.variable, parsed
    return None if setting is None else (said, value)


KNOWN_VARIABLES = (
    *(override.variable for override in OVERRIDES.values()),
    *(VARIABLE, HOME),
    # Of the tests, and of the jobs that a schedule starts.
    *("MAGPIE_TEST_MODELS", "MAGPIE_SCHEDULE", "MAGPIE_SCHEDULE_CONTENT"),
)
"""Every environment variable that the package reads."""


def warn_of_typos(environment: Mapping[str, str]) -> None:
    """Warns of ``MAGPIE_*`` variables that nothing reads, each once in a process."""
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in KNOWN_VARIABLES:
            _warn_of(name)


@functools.cache
def _warn_of(variable: str) -> None:
    name = variable.removeprefix(PREFIX).lower()
    near = [PREFIX + RENAMED[name].upper()] if name in RENAMED else []
    near = near or difflib.get_close_matches(variable, KNOWN_VARIABLES, n=1, cutoff=0.75)
    hint = f"did you mean {near[0]}?" if near else f"any key of a recipe can be set by {VARIABLE}"
    log.warning("%s: no variable of magpie-hub; it is not read (%s)", variable, hint)


def _parse(override: Override, text: str) -> Any:
    if override.type is str:
        return text
    try:
        value = read_yaml(text).data
    except NotYaml:
        value = text
    if override.type is bool and value in (0, 1):
        return bool(value)
    return value
