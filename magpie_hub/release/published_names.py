"""Public names of local folders, in rows, manifests and cards.

A model, or a set to compare with, may be a local folder, whose path is private.
What is published is the name that the recipe gives it (`model_name`), or the folder's own name, and
the hash of its weights as its revision.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from magpie_hub.gates.registry import verdict_settings
from magpie_hub.models.source import is_folder
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import fingerprint, first_turn_settings
from magpie_hub.recipe.judges import KEYS
from magpie_hub.release.columns import judge_columns

SIMILAR = "min_similar_uuid"
"""Names a row of another set as ``<set>#<number>`` if that set has no uuids."""

_ABSOLUTE = re.compile(r"(?:file://|~?/|\\\\|[A-Za-z]:[\\/])[^\0\n]+")


class PublicNames:
    """The public names of one recipe's models and sets.

    Attributes:
        generator: That of the generator.
        unnamed: Keys of models that are folders of this machine and have no `model_name`.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._names: dict[str, str] = {}
        self._model_columns = [one.name for one in judge_columns() if one.names_model]
        unnamed = []
        for key, model, name in _models(recipe):
            if not is_folder(model) and name is None:
                continue
            if name is None:
                unnamed.append(key)
            self._names.setdefault(model, name or _own_name(model))
        for other in (*recipe.card.beside, *_against(recipe)):
            if is_folder(other):
                self._names.setdefault(other, _own_name(other))
        self.generator = self.of(recipe.model)
        self.unnamed = tuple(unnamed)

    def of(self, name: str) -> str:
        """The public name of a model or set; what has no other is itself."""
        return self._names.get(name, name)

    def draws(self, recipe: Recipe, revision: str) -> str:
        """Names what determines first turns and verdicts, on whatever machine they are drawn."""
        anywhere = recipe.model_copy(update={"model": self.generator})
        return fingerprint(first_turn_settings(anywhere, revision), verdict_settings(anywhere))

    def judges(self, revisions: Mapping[str, str]) -> dict[str, str]:
        """Revisions of judges, by what the recipe says of them ("model", or "model@revision")."""
        return {self._said(said, self.of): revision for said, revision in revisions.items()}

    def judges_here(self, revisions: Mapping[str, str]) -> dict[str, str]:
        """What `judges` has published, by what the recipe says on this machine."""
        here = {public: name for name, public in self._names.items()}
        return {
            self._said(said, lambda name: here.get(name, name)): revision
            for said, revision in revisions.items()
        }

    @staticmethod
    def _said(said: str, name: Any) -> str:
        model, at, revision = said.rpartition("@")
        return f"{name(model)}@{revision}" if at and name(said) == said else str(name(said))

    def label(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        """What judges said of a row, with public names of models and sets."""
        changed = {
            key: self._names[columns[key]]
            for key in self._model_columns
            if columns.get(key) in self._names
        }
        similar = columns.get(SIMILAR)
        if similar is not None and "#" in similar:
            name, _, number = similar.rpartition("#")
            changed[SIMILAR] = f"{self.of(name)}#{number}"
        return {**columns, **changed} if changed else columns

    def recipe(self, data: dict[str, Any]) -> dict[str, Any]:
        """A recipe's own data, with public names alone."""
        data.pop("model_name", None)
        data["model"] = self.generator
        judges = data.get("judges") or {}
        for section in (*judges.values(), (judges.get("reward") or {}).get("base")):
            if isinstance(section, dict):
                section.pop("model_name", None)
                if section.get("model") is not None:
                    section["model"] = self.of(section["model"])
                if section.get("against"):
                    section["against"] = [self.of(other) for other in section["against"]]
        if data.get("card", {}).get("beside"):
            data["card"]["beside"] = [self.of(other) for other in data["card"]["beside"]]
        if data.get("engine_args"):
            data["engine_args"] = without_paths(data["engine_args"])
        return data


def without_paths(value: Any) -> Any:
    """Settings without this machine's paths: of each its last name stays."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    if isinstance(value, str) and _ABSOLUTE.fullmatch(value):
        return PureWindowsPath(value).name or "/"
    return value


def _models(recipe: Recipe) -> Iterator[tuple[str, str, str | None]]:
    """Every model that a recipe names: its key, what it is called there, and its public name."""
    yield "model", recipe.model, recipe.model_name
    for name, section in recipe.judges.models.items():
        if section.model not in (None, recipe.model):
            key = KEYS.get(name, name)
            yield f"judges.{key}.model", str(section.model), section.model_name


def _against(recipe: Recipe) -> tuple[str, ...]:
    near = recipe.judges.neighbors
    return near.against if near else ()


def _own_name(folder: str) -> str:
    return Path(folder).expanduser().resolve().name or "folder"
