"""The card's table of fields: the columns that are there, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from magpie_hub.judges.columns import IN_RAW, Column
from magpie_hub.release.columns import find_column, first_turn_name

UNKNOWN = Column("", "text", "A column that this version does not know.", null="–", by="–")


class FieldRow(NamedTuple):
    """A line of the card's table.

    Attributes:
        names: The column, and those of the later turns; struct fields dotted.
        type: In words.
        field: Its description.
        only: The config that holds it, if `default` lacks it.
    """

    names: tuple[str, ...]
    type: str
    field: Column
    only: str | None


def field_rows(info: Sequence[Mapping[str, Any]]) -> list[FieldRow]:
    """The table of fields: columns in their order, all turns together, those of `default` first.

    Args:
        info: As `magpie_hub.release.dataset_info.dataset_info` returns it.
    """
    types: dict[str, str] = {}
    first_in: dict[str, Any] = {}
    gathered: dict[str, list[str]] = {}
    for config in info:
        for name, kind in _columns(config["features"]):
            if name not in types:
                gathered.setdefault(first_turn_name(name), []).append(name)
            types.setdefault(name, kind)
            first_in.setdefault(name, config)
    rows = []
    for names in gathered.values():
        field = find_column(names[0]) or UNKNOWN
        if len(names) > 1:  # A rejected row has no later turns.
            field = replace(field, null=IN_RAW)
        home = first_in[names[0]]
        only = None if home is info[0] else str(home["config_name"])
        rows.append(FieldRow(tuple(names), types[names[0]], field, only))
    return rows


def _columns(features: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Columns and struct fields with their types."""
    for feature in features:
        yield feature["name"], _type(feature)
        for inner in feature.get("struct", ()):
            yield f"{feature['name']}.{inner['name']}", _type(inner)


def _type(feature: Any) -> str:
    """A type of the Hub's YAML form in words; that form differs between versions of `datasets`."""
    if isinstance(feature, str):
        return feature
    if isinstance(feature, list):
        return "{" + ", ".join(inner["name"] for inner in feature) + "}"
    for key in ("list", "sequence"):
        if key in feature:
            return f"list of {_type(feature[key])}"
    if "struct" in feature:
        return "struct"
    return str(feature.get("dtype", "unknown"))
