"""Settings: any key of a recipe, changed for one run, as if the recipe said so.

``--set respond.max_tokens=512``, ``settings={"respond.max_tokens": 512}``, nested or with dots, or
``MAGPIE_SET="respond.max_tokens=512, judges.reward=null"``. A mapping is merged into the existing
section; any other value replaces the existing one. The entries of a list are named by their index,
from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from magpie_hub.errors import UserError
from magpie_hub.recipe.strict_yaml import NotYaml, read_yaml

VARIABLE = "MAGPIE_SET"
NAME = "settings"
"""The builder's keyword and the parameter of the Python functions."""

OPTION = "--set"

_NEXT = re.compile(r"[,;\n]\s*(?=[A-Za-z_][\w.-]*\s*=)|[,;\n]\s*\Z")


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of a recipe with its value for one run.

    Attributes:
        key: With dots.
        value: As YAML reads it.
        label: Its name in messages: how it was given.
        text: The text as written; None for a value from Python.
        near: Whether it was given to the run itself, not by the environment.
    """

    key: str
    value: Any
    label: str
    text: str | None
    near: bool


def read_settings(
    given: Mapping[str, Any] | Iterable[str] | str | None,
    environment: Mapping[str, str],
    how: str = "{name}",
) -> dict[str, Setting]:
    """The settings of one run by key; given ones override the environment.

    Args:
        given: A mapping, nested or with dots; texts ``key=value``; or one text of several.
        environment: For ``MAGPIE_SET``.
        how: How the caller writes a keyword, for messages.

    Raises:
        UserError: A text is not ``key=value``, or a key is given twice.
    """
    found: dict[str, Setting] = {}
    _read_texts(_NEXT.split(environment.get(VARIABLE, "")), VARIABLE + ":", False, found)
    label = how.format(name=NAME + ":", option=OPTION)
    own: dict[str, Setting] = {}
    if isinstance(given, str):
        _read_texts(_NEXT.split(given), label, True, own)
    elif isinstance(given, Mapping):
        _flatten(given, "", label, own)
    elif isinstance(given, Iterable):
        _read_texts(given, label, True, own)
    elif given is not None:
        _read_texts((given,), label, True, own)
    return found | own


def put(data: dict[str, Any], setting: Setting) -> None:
    """Puts a setting into a recipe's data.

    Raises:
        UserError: The recipe has no such key.
    """
    *path, last = setting.key.split(".")
    place: Any = data
    for part in path:
        if isinstance(place, list):
            place = place[_index(place, part, setting)]
        elif isinstance(place, dict):
            if place.get(part) is None or isinstance(place[part], bool):
                place[part] = {}
            place = place[part]
    if isinstance(place, list):
        place[_index(place, last, setting)] = setting.value
    elif isinstance(place, dict):
        place[last] = setting.value
    else:
        around = ".".join(path)
        raise UserError(f"{setting.label} {setting.key}: {around} is {place!r}, with no keys in it")


def _index(place: list[Any], part: str, setting: Setting) -> int:
    if not part.isdecimal() or len(part) > 9 or int(part) >= len(place):
        raise UserError(
            f"{setting.label} {setting.key}: {part} is no place in a list of {len(place)}; they "
            "are counted from 0"
        )
    return int(part)


def _read_texts(texts: Iterable[str], label: str, near: bool, found: dict[str, Setting]) -> None:
    for text in texts:
        if not isinstance(text, str):
            raise UserError(f"{label} {text!r}: a mapping of keys, or texts KEY=VALUE, is wanted")
        if not text.strip():
            continue
        key, sign, written = (part.strip() for part in text.partition("="))
        if not sign or not key:
            raise UserError(
                f"{label} {text.strip()[:60]}: KEY=VALUE is wanted, such as respond.max_tokens=512"
            )
        try:
            value = read_yaml(written).data
        except NotYaml as error:
            raise UserError(f"{label} {key}: {error}") from None
        if isinstance(value, Mapping) and value:
            _flatten(value, key + ".", label, found, near)
        else:
            _add(Setting(key, value, label, written, near), found)


def _flatten(
    given: Mapping[Any, Any],
    above: str,
    label: str,
    found: dict[str, Setting],
    near: bool = True,
    depth: int = 0,
) -> None:
    if depth > 20:
        raise UserError(f"{label} {above[:60]}: nested too deep for a recipe")
    for key, value in given.items():
        if not isinstance(key, str):
            raise UserError(f"{label} {above}{key!r}: a key is a text")
        if isinstance(value, Mapping) and value:
            _flatten(value, f"{above}{key}.", label, found, near, depth + 1)
        else:
            _add(Setting(above + key, value, label, None, near), found)


def _add(setting: Setting, found: dict[str, Setting]) -> None:
    other = found.get(setting.key)
    if other is not None and other.value != setting.value:
        raise UserError(
            f"{setting.label} {setting.key}: given twice, as {other.value!r} and as "
            f"{setting.value!r}"
        )
    found[setting.key] = setting
