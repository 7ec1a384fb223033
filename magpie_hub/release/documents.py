"""JSON documents of a release, read strictly: others may have written them.

Known keys are checked, and what belongs together fits together; unknown keys pass, for a later
version may write them. `manifest` and `stats_schema` say what each document holds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from magpie_hub.errors import UserError, one_line

DEEPEST = 32
"""Levels of brackets in a document; ours has a dozen."""

Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class DocumentPart(BaseModel):
    """A part of a document: known keys are strict, unknown ones pass."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class FunnelRecord(DocumentPart):
    """Planned rows, rejected ones by reason, and delivered ones."""

    planned: Count
    rejected: dict[str, Count]
    delivered: Count

    @model_validator(mode="after")
    def _adds_up(self) -> FunnelRecord:
        if self.planned != self.delivered + sum(self.rejected.values()):
            raise ValueError("planned is not delivered and rejected together")
        return self


def read_file(folder: Path, path: str) -> bytes:
    """A file of a release.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return (folder / path).read_bytes()
    except OSError as error:
        raise UserError(f"{folder / path}: cannot be read: {error.strerror}") from None


def parse(content: bytes, where: str, model: type[DocumentPart]) -> dict[str, Any]:
    """Reads a document as what others may have written.

    Args:
        content: The file's bytes.
        where: What to call it in a message.
        model: What it must hold.

    Returns:
        Plain data, as it was written.

    Raises:
        UserError: It is no such document; the line names the key.
    """
    try:
        found = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_once,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_no_number,
        )
        _check_texts(found)
    except RecursionError:
        raise UserError(f"{where}: it is nested too deeply") from None
    except ValueError as error:
        raise UserError(f"{where}: cannot be read: {one_line(error)}") from None
    try:
        model.model_validate(found)
    except ValidationError as error:
        raise UserError(f"{where}: {_line(error)}") from None
    return dict(found)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return found


def _whole(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _check_texts(found: Any) -> None:
    """Looks at all texts, and at how deep they lie.

    Raises:
        ValueError: One holds half a character, or a NUL; or there are too many levels.
    """
    level = [found]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                value.encode("utf-8")
                if "\0" in value:
                    raise ValueError(f"a NUL character in {value!r}")
            elif isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, list):
                below += value
        if not below:
            return
        level = below
    raise ValueError("it is nested too deeply")


def _line(error: ValidationError) -> str:
    """The first finding in a line: "files.README.md.sha256: what is wrong, not 'this'"."""
    first, *more = error.errors(include_url=False)
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    what = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if first["type"] == "missing":
        said = "this key is needed"
    elif first["type"] in ("model_type", "dict_type"):
        said = f"should be a mapping of keys, not {repr(first['input'])[:60]}"
    elif first["type"] == "value_error" and isinstance(first["input"], BaseModel | dict):
        said = what
    else:
        said = f"{what}, not {repr(first['input'])[:60]}"
    rest = f" (and {len(more)} more)" if more else ""
    return one_line(f"{key}: {said}" if key else said) + rest
