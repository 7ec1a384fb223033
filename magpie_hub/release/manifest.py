"""The manifest of a release: its files by hash, its rows' origin, and all releases before it.

A path in it is one of a release's own, a hash is a hash, and its increments name each shard once.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from magpie_hub.errors import UserError
from magpie_hub.recipe.base import Name
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.release.documents import Count, DocumentPart, FunnelRecord, parse, read_file
from magpie_hub.release.output import MADE_BY
from magpie_hub.release.schema import CONFIGS

_SHARD = re.compile(
    rf"data/(?P<config>{'|'.join(CONFIGS)})/train-(?P<number>\d{{5}})-of-(?P<of>\d{{5}})\.parquet"
)
_ASSET = re.compile(r"assets/[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(png|svg|jpg)")
_ALWAYS = ("README.md", "recipe.yaml", "stats.json")


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


Sha256 = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
Hex = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{8,64}\z")]
Tag = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\z")]
Edition = Annotated[str, StringConstraints(pattern=r"\A[0-9]{1,6}\.[0-9]{1,6}\z")]
Day = Annotated[str, StringConstraints(pattern=r"\A\d{4}-\d{2}-\d{2}\z"), AfterValidator(_a_day)]
Path_ = Annotated[str, AfterValidator(_a_path)]
ShardPath = Annotated[str, AfterValidator(_a_shard)]


class _File(DocumentPart):
    sha256: Sha256
    bytes: Count
    rows: Count | None = None
    content_bytes: Count | None = None


class _Model(DocumentPart):
    name: str
    revision: str
    license: str | None


class _PreQuery(DocumentPart):
    text: str


class _Chat(DocumentPart):
    pre_query: _PreQuery


class _Session(DocumentPart):
    engine: str
    version: str = ""
    device: str = ""
    dtype: str = ""
    slots: Count | None = None
    started: str
    settings: dict[str, Any] = Field(default_factory=dict)


class _Picture(DocumentPart):
    name: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\z")]
    title: str
    alt: str


class _Line(DocumentPart):
    """A line of the changelog."""

    tag: Tag
    date: Day
    edition: Edition
    tick: str | None
    rows: Count
    text: str


class _Increment(DocumentPart):
    tick: str | None
    tag: Tag
    date: Day
    first_row: Count
    end_row: Count
    rows: Count
    funnel: FunnelRecord
    revision: str | None
    draws: Hex
    files: list[ShardPath] = Field(min_length=1)
    drift: dict[str, Any] | None = None


class Manifest(DocumentPart):
    """What ``manifest.json`` holds."""

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
    funnel: FunnelRecord
    pictures: list[_Picture]
    changelog: list[_Line] = Field(min_length=1)
    increments: list[_Increment] = Field(min_length=1)
    files: dict[Path_, _File]

    @model_validator(mode="after")
    def _fits(self) -> Manifest:
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
    return parse(content, where, Manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the release in a folder; as `parse_manifest`."""
    return parse_manifest(read_file(folder, "manifest.json"), str(folder / "manifest.json"))


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
