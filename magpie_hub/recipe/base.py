"""The base class of a recipe's sections, and the types that several sections share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
MOST = 10**9
"""The largest whole number that a key may have, except seeds."""

Line = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
PublicName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._+-]{0,95})?$"
    ),
]
Words = Annotated[str, StringConstraints(min_length=1)]


class Section(BaseModel):
    """A strict, frozen part of a recipe."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def overridable(default: Any, help: str, **limits: Any) -> Any:
    """A field that one run may change by an option, a keyword or a variable of its name."""
    return Field(default, description=help, json_schema_extra={"override": True}, **limits)


def json_lists(value: Any) -> Any:
    """A value with lists instead of the tuples that a recipe's lists are."""
    if isinstance(value, dict):
        return {key: json_lists(item) for key, item in value.items()}
    return [json_lists(item) for item in value] if isinstance(value, tuple) else value
