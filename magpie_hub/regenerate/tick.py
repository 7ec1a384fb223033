"""What is asked of a tick, and what it comes to."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from magpie_hub.errors import OutputError, UserError

State = Literal["published", "unchanged", "built"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Tick:
    """One run of a schedule, and how it goes.

    Attributes:
        name: A variant's name or a recipe's path.
        repo_id: NAMESPACE/NAME; None for the recipe's, or magpie-NAME of whoever pushes.
        tick: Its name, by which it is done once; None for the day's date, in UTC.
        grow: Rows to add; None for as many as the recipe says.
        refresh: Make all rows anew with the recipe as it is now.
        push: Publish what passes; else it is left in the folder.
        out: The release folder; None for ``./<recipe's name>-next``.
        report: Where the figures go, side by side; None for ``./<recipe's name>-report.md``.
        state: Where what must survive this machine is kept; None for what the recipe says.
        reviewed: Findings of the scan that a person has let pass, beside the recipe's.
        overrides: This run's settings, by the recipe's names.
    """

    name: str | Path
    repo_id: str | None = None
    tick: str | None = None
    grow: int | None = None
    refresh: bool = False
    push: bool = False
    out: Path | None = None
    report: Path | None = None
    state: str | None = None
    reviewed: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Regenerated:
    """What a tick came to.

    Attributes:
        state: "published", "unchanged" (it was published before), or "built" (without a push).
        repo_id: The repository.
        tick: The tick.
        tag: The tag of its rows.
        commit: The commit that holds it; None if it was not pushed.
        added: Rows that it adds.
        rows: Rows of the dataset with them.
        edition: Number of the release.
        warnings: What has drifted without being refused.
        out: The release folder; None if nothing was built.
        report: The figures; None if nothing was built.
    """

    state: State
    repo_id: str
    tick: str
    tag: str
    commit: str | None
    added: int
    rows: int
    edition: str
    warnings: tuple[str, ...] = ()
    out: str | None = None
    report: str | None = None


def check_asked(tick: Tick) -> None:
    """Looks at what needs no Hub to be refused.

    Raises:
        UserError: The tick's name is none, or settings contradict each other.
    """
    if tick.tick is not None and not _ID.fullmatch(tick.tick):
        raise UserError(
            f"{tick.tick!r} is not a tick's name: letters, digits, '.', '_' and '-', 64 at most"
        )
    if tick.refresh and tick.grow is not None:
        raise UserError("grow adds rows and refresh makes all of them anew; choose one of them")
    if tick.grow is not None and tick.grow < 1:
        raise UserError(f"grow: {tick.grow} rows cannot be added; 1 is the least")


def check_report(path: Path) -> None:
    """Makes sure that a report can be written, before anything is made that it would be of.

    Raises:
        OutputError: It cannot.
    """
    folder = path.absolute().parent
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise OutputError(f"{path}: the report cannot be written there; name another file")


def day_of(name: str, today: date) -> date:
    """The day of a tick: the one that it is named after, else today."""
    if _DAY.fullmatch(name):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(name)
    return today


def tag_of(day: date, taken: set[str]) -> str:
    """The tag of a day that is free: v2026.11.21, then v2026.11.21.2, …"""
    plain, number = f"v{day:%Y.%m.%d}", 1
    tag = plain
    while tag in taken:
        number += 1
        tag = f"{plain}.{number}"
    return tag
