"""The documents of a release, manifest and statistics, read as what others may have written.

Whoever reads one of them, in a folder or on the Hub, reads it here. What comes back is plain data
of which everything that we go by has been looked at: a path in a manifest is one of a release's
own, a hash is a hash, a number is one, and what belongs together fits together. Keys that are not
known pass, for a later version may write them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from magpie_hub.errors import UserError, one_line
from magpie_hub.generate.plan import turn_suffix
from magpie_hub.recipe.base import Name
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.release.output import MADE_BY
from magpie_hub.release.schema import CONFIGS

DEEPEST = 32
"""Levels of brackets in a document; ours has a dozen."""

_LARGEST = 2**53
_SHARD = re.compile(
    rf"data/(?P<config>{'|'.join(CONFIGS)})/train-(?P<number>\d{{5}})-of-(?P<of>\d{{5}})\.parquet"
)
_ASSET = re.compile(r"assets/[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(png|svg|jpg)")
_ALWAYS = ("README.md", "recipe.yaml", "stats.json")


# ---- what values may be


def _a_path(path: str) -> str:
    if path not in _ALWAYS and not _SHARD.fullmatch(path) and not _ASSET.fullmatch(path):
        raise ValueError("no path of a release")
    return path


def _a_shard(path: str) -> str:
    if not _SHARD.fullmatch(path):
        raise ValueError("no path of a shard")
    return path


def _a_day(text: str) -> str:
    date.fromisoformat(text)
    return text


Count = Annotated[int, Field(ge=0, le=_LARGEST)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
Hex = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{8,64}\z")]
Tag = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\z")]
Edition = Annotated[str, StringConstraints(pattern=r"\A[0-9]{1,6}\.[0-9]{1,6}\z")]
Digits = Annotated[str, StringConstraints(pattern=r"\A[0-9]{1,15}\z")]
Day = Annotated[str, StringConstraints(pattern=r"\A\d{4}-\d{2}-\d{2}\z"), AfterValidator(_a_day)]
Path_ = Annotated[str, AfterValidator(_a_path)]
ShardPath = Annotated[str, AfterValidator(_a_shard)]


class _Part(BaseModel):
    """A part of a document: what is known is strict, what is not passes."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class _File(_Part):
    sha256: Sha256
    bytes: Count
    rows: Count | None = None
    content_bytes: Count | None = None


class _Funnel(_Part):
    planned: Count
    rejected: dict[str, Count]
    delivered: Count

    @model_validator(mode="after")
    def _adds_up(self) -> _Funnel:
        if self.planned != self.delivered + sum(self.rejected.values()):
            raise ValueError("planned is not delivered and rejected together")
        return self


class _Model(_Part):
    name: str
    revision: str
    license: str | None


class _PreQuery(_Part):
    text: str


class _Chat(_Part):
    pre_query: _PreQuery


class _Session(_Part):
    engine: str
    version: str = ""
    device: str = ""
    dtype: str = ""
    slots: Count | None = None
    started: str
    settings: dict[str, Any] = Field(default_factory=dict)


class _Picture(_Part):
    name: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\z")]
    title: str
    alt: str


class _Line(_Part):
    """A line of the changelog."""

    tag: Tag
    date: Day
    edition: Edition
    tick: str | None
    rows: Count
    text: str


class _Increment(_Part):
    tick: str | None
    tag: Tag
    date: Day
    first_row: Count
    end_row: Count
    rows: Count
    funnel: _Funnel
    revision: str | None
    draws: Hex
    files: list[ShardPath] = Field(min_length=1)
    drift: dict[str, Any] | None = None


class _Manifest(_Part):
    made_by: Literal["magpie_hub"]
    version: str
    name: Name
    tag: Tag
    edition: Edition
    rows: Count
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    recipe_fingerprint: Hex
    model: _Model
    judges: dict[str, str]
    chat: _Chat
    pre_queries: dict[str, str] | None = None
    columns: list[str] = Field(min_length=1)
    sessions: list[_Session]
    versions: dict[str, str]
    funnel: _Funnel
    pictures: list[_Picture]
    changelog: list[_Line] = Field(min_length=1)
    increments: list[_Increment] = Field(min_length=1)
    files: dict[Path_, _File]

    @model_validator(mode="after")
    def _fits(self) -> _Manifest:
        if missing := [path for path in _ALWAYS if path not in self.files]:
            raise ValueError(f"{missing[0]} is not among its files")
        known: dict[str, str] = {}
        for path, entry in self.files.items():
            folded = unicodedata.normalize("NFC", path).casefold()
            if known.setdefault(folded, path) != path:
                raise ValueError(f"{path} and {known[folded]} are one file to some file systems")
            if _SHARD.fullmatch(path) and (entry.rows is None or entry.content_bytes is None):
                raise ValueError(f"the rows of {path} are not counted")
        named = [path for one in self.increments for path in one.files]
        shards = [path for path in self.files if _SHARD.fullmatch(path)]
        if len(named) != len(set(named)) or set(named) != set(shards):
            raise ValueError("its increments do not name each of its shards once")
        end = 0
        for one in self.increments:
            if not end <= one.first_row <= one.end_row:
                raise ValueError("the row ids of its increments are not in order")
            end = one.end_row
        if self.changelog[0].tag != self.tag:
            raise ValueError("its tag is not that of its newest release")
        return self


class _Histogram(_Part):
    edges: list[Number]
    counts: list[Count]


class _Distribution(_Part):
    count: Count
    missing: Count
    mean: Number | None
    std: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    min: Number | None
    max: Number | None
    percentiles: dict[Digits, Number]
    histogram: _Histogram

    @model_validator(mode="after")
    def _fits(self) -> _Distribution:
        edges, counts = self.histogram.edges, self.histogram.counts
        figures = (self.mean, self.std, self.min, self.max)
        if self.count == 0:
            return self
        if None in figures or not self.percentiles.keys() >= _PERCENTILES:
            raise ValueError("figures are missing")
        if len(edges) != len(counts) + 1 or sum(counts) != self.count:
            raise ValueError("its histogram does not count what it counts")
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError("the edges of its histogram do not rise")
        return self


_PERCENTILES = frozenset(("1", "5", "25", "50", "75", "95", "99"))


class _Labels(_Part):
    counts: dict[str, Count]
    missing: Count


class _Sampled(_Part):
    temperature: Number
    top_p: Number
    rows: Count


class _Cost(_Part):
    stage: str
    model: str
    rows: Count = 0
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    decoded_tokens: Count = 0
    prompt_tokens: Count = 0
    cached_tokens: Count = 0


class _Saved(_Part):
    rows: Count
    mean_response_tokens: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    tokens: Count


class _Stats(_Part):
    rows: Count
    turns: Annotated[int, Field(ge=1, le=8)]
    funnel: _Funnel
    yield_: Share = Field(alias="yield")
    sampling: list[_Sampled]
    lengths: dict[str, _Distribution]
    labels: dict[str, _Labels]
    numbers: dict[str, _Distribution]
    repeats: dict[Digits, Count] = Field(default_factory=dict)
    failures: dict[str, dict[str, Count]]
    spent: list[_Cost]
    saved: _Saved
    changelog: list[dict[str, Any]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits(self) -> _Stats:
        if self.rows != self.funnel.delivered:
            raise ValueError("rows is not what the funnel delivers")
        ends = [turn_suffix(turn) for turn in range(1, self.turns + 1)]
        for column in ("instruction_tokens", "response_tokens", "turn_tokens"):
            for end in ends:
                if column + end not in self.lengths:
                    raise ValueError(f"lengths: {column}{end} is missing")
        for end in ends:
            if f"finish_reason{end}" not in self.labels:
                raise ValueError(f"labels: finish_reason{end} is missing")
        return self


# ---- reading


def claims_ours(content: bytes) -> bool:
    """Whether a manifest says that it is ours; one that is no JSON says nothing."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("made_by") == MADE_BY


def parse_manifest(content: bytes, where: str) -> dict[str, Any]:
    """Reads a manifest.

    Args:
        content: The file's bytes.
        where: What to call it in a message.

    Raises:
        UserError: It is none that we write; the line names the key.
    """
    return _parse(content, where, _Manifest)


def parse_stats(content: bytes, where: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the statistics of a release.

    Args:
        content: The file's bytes.
        where: What to call it in a message.
        manifest: The release's manifest, as `parse_manifest` returns it.

    Raises:
        UserError: They are none that we write, or are of another release.
    """
    found = _parse(content, where, _Stats)
    if any(found[key] != manifest[key] for key in ("rows", "funnel")):
        raise UserError(f"{where}: it is of another release than the manifest, or was edited")
    return found


def read_stats(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The statistics of the release in a folder; as `parse_stats`."""
    return parse_stats(read_file(folder, "stats.json"), str(folder / "stats.json"), manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the release in a folder; as `parse_manifest`."""
    return parse_manifest(read_file(folder, "manifest.json"), str(folder / "manifest.json"))


def read_file(folder: Path, path: str) -> bytes:
    """A file of a release.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return (folder / path).read_bytes()
    except OSError as error:
        raise UserError(f"{folder / path}: cannot be read: {error.strerror}") from None


def read_recipe(folder: Path, manifest: Mapping[str, Any], stats: Mapping[str, Any]) -> Recipe:
    """The recipe that the release in a folder was made by.

    Raises:
        UserError: It is none, or of another release.
    """
    where = f"{folder / 'recipe.yaml'}"
    try:
        text = read_file(folder, "recipe.yaml").decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{where}: it is not UTF-8 text") from None
    recipe = parse_recipe(text, where)
    if (recipe.name, recipe.turns) != (manifest["name"], stats["turns"]):
        raise UserError(f"{where}: it is not the recipe that this release was made by")
    return recipe


def config_of(path: str) -> str | None:
    """The config that a path of a release is a shard of; None for another file."""
    found = _SHARD.fullmatch(path)
    return found["config"] if found else None


def _parse(content: bytes, where: str, model: type[_Part]) -> dict[str, Any]:
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
