"""A check: one figure of the new rows beside that of what is published, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from magpie_hub.release.card import numbers as numerals

State = Literal["ok", "unsure", "warning", "failed"]
"""What comes of a check; unsure: over its bound, and too few rows to tell that from chance."""

Side = Literal["apart", "rise", "at least", "at most"]


@dataclass(frozen=True, slots=True)
class Unit:
    """How a figure, and how a difference of two, are written.

    Attributes:
        value: Writes a figure.
        size: Writes a difference, or its bound.
    """

    value: Callable[[float], str]
    size: Callable[[float], str]


def _percent(value: float) -> str:
    return numerals.share(value, 1)


SHARE = Unit(_percent, lambda size: f"{100 * size:.3g} points")
GROWING = Unit(_percent, lambda size: f"{100 * size:.3g} points beyond growth")
MIX = Unit(_percent, lambda size: f"{_percent(size)} of the mix")
LENGTH = Unit(
    lambda value: f"{numerals.number(value)} tokens", lambda size: f"a factor of {1 + size:.3g}"
)
MEAN = Unit(numerals.number, lambda size: f"{size:.3g} standard deviations")
ROWS = Unit(lambda value: numerals.count(int(value)), lambda size: numerals.count(int(size)))


@dataclass(frozen=True, slots=True)
class Check:
    """One figure, compared with what is published or with a floor.

    Attributes:
        name: What the check is called: "yield", "mix.task_category", ….
        what: What it compares, in words. May hold words of a model or a repository.
        unit: How its figures are written.
        side: Whether any difference counts ("apart") or only more than is published ("rise");
            for a floor or a ceiling, on which side the new figure has to be.
        published: The published figure; None for a floor, which looks at the new rows alone.
        new: The new rows' figure.
        size: How large the difference is, in the terms of the bound; not over 0 for a change that
            does not count.
        bound: The largest difference allowed; for a floor or a ceiling, itself.
        p: Chance of a difference as large between equal distributions; None where there is
            no test. As a kind of check hands it out it stands for this check alone; in an
            examination it is corrected for the number of checks.
        state: What comes of it.
    """

    name: str
    what: str
    unit: Unit
    side: Side
    published: float | None
    new: float
    size: float
    bound: float
    p: float | None = None
    state: State = "ok"

    @property
    def says(self) -> str:
        """A sentence for a person; "" if there is nothing to say."""
        if self.state == "ok":
            return ""
        value, size = self.unit.value, self.unit.size
        if self.published is None:
            return f"{self.what}: {value(self.new)}; the recipe asks for {self.limit}"
        return (
            f"{self.what}: {value(self.new)} in the new rows, {value(self.published)} in what is "
            f"published; the difference is {size(self.size)}, the bound {size(self.bound)}"
        )

    @property
    def limit(self) -> str:
        """The bound in words: "15 points", "at most 50.0%"."""
        if self.published is None:
            return f"{self.side} {self.unit.value(self.bound)}"
        return self.unit.size(self.bound)

    def to_json(self) -> dict[str, Any]:
        """Plain data, numbers at six significant digits."""
        return {
            "name": self.name,
            "state": self.state,
            "published": _plain(self.published),
            "new": _plain(self.new),
            "difference": _plain(self.size),
            "bound": _plain(self.bound),
            "p": _plain(self.p),
            "says": self.says,
        }


def _plain(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else float(f"{value:.6g}")
