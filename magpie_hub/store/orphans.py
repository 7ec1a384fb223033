"""Orphans: rows that a recipe made with other settings, and that a run would not continue."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magpie_hub.errors import JournalError, OutputError
from magpie_hub.store.journal import Journal
from magpie_hub.store.usage import usage_of

NAMES = "names"
"""A journal's meta key of the recipes that made its rows."""

SHOWN = 5
"""Most settings that a message names, so that it stays one line."""

_KEYS = {"revision": "model_revision"}
"""A recipe's name of a setting, if the journal has another name for it."""

_WIDTH = 40
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that differs from the one that rows were made with.

    Attributes:
        key: With dots, as ``--set`` takes it.
        before: Its value then.
        now: Its value now.
    """

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} was {_shown(self.before)}, now {_shown(self.now)}"


@dataclass(frozen=True, slots=True)
class Orphans:
    """Turns that a run would leave behind.

    Attributes:
        name: The recipe.
        path: Their journal.
        turns: How many.
        tokens: Tokens that they are made of.
        seconds: Time of generating them, engine start included; 0.0 if it was not counted.
        changes: The settings that differ; of several journals, this one has the fewest.
        later: Whether they are later turns, whose first turns the run continues.
    """

    name: str
    path: Path
    turns: int
    tokens: int
    seconds: float
    changes: tuple[Change, ...]
    later: bool = False

    def __str__(self) -> str:
        what = "later turns" if self.later else "turns"
        took = f", {_duration(self.seconds)} of generating" if self.seconds else ""
        return (
            f"{self.turns:,} {what} of {self.name} ({self.tokens:,} tokens{took}) stay behind in "
            f"{self.path} and are generated again, because {self.changed}"
        )

    @property
    def changed(self) -> str:
        """The settings that differ, in words."""
        return self._listed([str(change) for change in self.changes])

    @property
    def before(self) -> str:
        """The settings that would continue these rows, in words."""
        return self._listed([f"{one.key}: {_shown(one.before)}" for one in self.changes])

    @staticmethod
    def _listed(words: list[str]) -> str:
        more = len(words) - SHOWN
        return "; ".join([*words[:SHOWN], *([f"and {more} more"] if more > 0 else [])])


def find_orphans(
    paths: Iterable[Path],
    settings: Mapping[str, Any],
    name: str,
    *,
    start: int = 0,
    later: bool = False,
) -> Orphans | None:
    """The turns of the journal whose settings are closest to those of a run.

    Args:
        paths: The journals.
        settings: The run's settings.
        name: The recipe; journals of other recipes only are ignored.
        start: The run's first row id.
        later: Whether they are journals of later turns, beside the first ones.
    """
    wanted, found = _flat(settings), list[tuple[int, float, Orphans]]()
    for path in paths:
        try:
            with Journal(path, readonly=True) as journal:
                known = journal.meta(NAMES) or [journal.meta("name")]
                then = _flat(journal.meta("settings") or {})
                turns, tokens = journal.size(start)
                costs = [cost for cost in usage_of(journal) if cost.stage == "generate"]
        except (JournalError, OutputError):
            continue
        if not turns or name not in known:
            continue
        changes = tuple(
            Change(_KEYS.get(key, key), then.get(key, _ABSENT), wanted.get(key, _ABSENT))
            for key in sorted({*then, *wanted})
            if then.get(key, _ABSENT) != wanted.get(key, _ABSENT)
        )
        seconds = 0.0 if start else sum(cost.seconds for cost in costs)
        orphans = Orphans(name, path, turns, tokens, seconds, changes, later)
        found.append((-len(changes), path.stat().st_mtime, orphans))
    return max(found, key=lambda one: one[:2])[2] if found else None


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by their dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            # As a journal keeps it.
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "not set"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
