"""A tick: what is asked of one run of a schedule, what comes of it, its day and its tag."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from magpie_hub.errors import OutputError, UserError
from magpie_hub.hub.client import ask

if TYPE_CHECKING:
    from huggingface_hub import HfApi

State = Literal["published", "unchanged", "built"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Tick:
    """One run of a schedule.

    Attributes:
        name: A variant's name or a recipe's path.
        repo_id: NAMESPACE/NAME; None for the recipe's, or magpie-NAME of the token's owner.
        tick: Its name, by which it is done once; None for the day's date, in UTC.
        grow: Rows to add; None for as many as the recipe says.
        refresh: Generate all rows again with the current recipe (a full refresh).
        push: Publish what passes; else it is left in the folder.
        out: The release folder; None for ``./<recipe's name>-next``.
        report: Where the drift report goes; None for ``./<recipe's name>-report.md``.
        state: Where unfinished work is kept; None for the recipe's.
        reviewed: Findings of the scan that the user lets pass, beside the recipe's.
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

    def check(self) -> None:
        """Refuses what can be refused without the Hub.

        Raises:
            UserError: The tick's name is none, or settings contradict each other.
        """
        if self.tick is not None and not _ID.fullmatch(self.tick):
            raise UserError(
                f"{self.tick!r} is not a tick's name: letters, digits, '.', '_' and '-', 64 at most"
            )
        if self.refresh and self.grow is not None:
            raise UserError("grow adds rows and refresh generates all rows again; choose one")
        if self.grow is not None and self.grow < 1:
            raise UserError(f"grow: {self.grow} rows cannot be added; 1 is the least")


@dataclass(frozen=True, slots=True)
class Regenerated:
    """What came of a tick.

    Attributes:
        state: "published", "unchanged" (it was published before), or "built" (without a push).
        repo_id: The repository.
        tick: The tick.
        tag: The tag of its rows.
        commit: The commit that holds it; None if it was not pushed.
        added: Rows that it adds.
        rows: Rows of the dataset with them.
        edition: The release's version, as in the manifest.
        warnings: What has drifted without being refused.
        out: The release folder; None if nothing was built.
        report: The drift report; None if nothing was built.
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


def check_report(path: Path) -> None:
    """Makes sure that a report can be written.

    Raises:
        OutputError: It cannot.
    """
    folder = path.absolute().parent
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise OutputError(f"{path}: the report cannot be written there; name another file")


def today(api: HfApi) -> date:
    """The day in UTC by the Hub's clock, since two runners' clocks may differ.

    Raises:
        HubError, Busy: The Hub failed.
    """
    from huggingface_hub import get_session

    answer = ask(api.endpoint, "asking the time of", lambda: get_session().head(api.endpoint))
    try:
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC).date()
    except (KeyError, ValueError):
        return datetime.now(UTC).date()


def day_of(name: str, today: date) -> date:
    """The day of a tick: the one that it is named after, else today."""
    if _DAY.fullmatch(name):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(name)
    return today


def tag_of(day: date, taken: set[str]) -> str:
    """The first free tag of a day: v2026.11.21, then v2026.11.21.2 and so on."""
    plain, number = f"v{day:%Y.%m.%d}", 1
    tag = plain
    while tag in taken:
        number += 1
        tag = f"{plain}.{number}"
    return tag
