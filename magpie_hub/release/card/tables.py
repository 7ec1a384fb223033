"""The rows of a card's tables, from recipe, statistics and manifest: numbers, no Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from magpie_hub.engines.registry import backend
from magpie_hub.gates.registry import build_gates
from magpie_hub.judges.models import judge_models, model_key, tags_itself
from magpie_hub.judges.registry import JUDGES
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.selection import Selection
from magpie_hub.release.card.columns import UNKNOWN
from magpie_hub.release.columns import find_column, judge_columns
from magpie_hub.selection.rules import conditions

UNLABELLED = "no label"
MOST = 9
"""Labels shown of those that are not known beforehand; the rest is added up."""


class Count(NamedTuple):
    """Rows with one label."""

    label: str
    rows: int


class JudgeRow(NamedTuple):
    """A judge at work.

    Attributes:
        name: Its name in the recipe.
        says: What it says of a row.
        model: The model, or what it uses in place of one.
        revision: The model's pinned revision; None where there is none.
    """

    name: str
    says: str
    model: str
    revision: str | None


class Drawn(NamedTuple):
    """A point of the sampling grid: its weight in the plan, and its delivered rows."""

    temperature: float
    top_p: float
    planned: int
    delivered: int


class Session(NamedTuple):
    """Engine sessions that were alike, with the days of the first and the last."""

    engine: str
    version: str
    device: str
    dtype: str
    slots: int | None
    number: int = 1
    first: str = ""
    last: str = ""


def counts(column: str, labels: Mapping[str, Any]) -> list[Count]:
    """Rows by label: a scale in its order and complete, anything else by falling counts.

    Args:
        column: The column, which names the scale.
        labels: `counts` by label, and `missing`.
    """
    found: dict[str, int] = labels["counts"]
    known = find_column(column) or UNKNOWN
    if scale := known.values:
        rows = [Count(label, found.get(label, 0)) for label in scale]
        rest = {label: rows for label, rows in found.items() if label not in scale}
    else:
        rows, rest = [], dict(found)
    falling = sorted(rest.items(), key=lambda item: (-item[1], item[0]))
    rows += [Count(*item) for item in falling[:MOST]]
    if others := falling[MOST:]:
        rows.append(Count(f"{len(others)} others", sum(count for _, count in others)))
    # An empty list is what most rows have, and no lack of a label.
    if labels["missing"] and known.kind != "texts":
        rows.append(Count(UNLABELLED, labels["missing"]))
    return rows


def repeats(found: Mapping[str, int]) -> list[Count]:
    """Rows by their number of near-duplicates, many of them together."""
    rows: Counter[str] = Counter()
    for number, count in found.items():
        near = int(number)
        rows[("none", "1", "2", "3 to 9", "10 or more")[_step(near)]] += count
    return [Count(label, rows[label]) for label in ("none", "1", "2", "3 to 9", "10 or more")]


def _step(near: int) -> int:
    return min(near, 3) if near < 10 else 4


def failures(found: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str, int]]:
    """Judge, reason and rows; a reason's details are left out."""
    rows = []
    for judge, reasons in found.items():
        bare: Counter[str] = Counter()
        for reason, count in reasons.items():
            bare[reason.split(":", 1)[0]] += count
        falling = sorted(bare.items(), key=lambda item: (-item[1], item[0]))
        rows += [(judge, reason, count) for reason, count in falling[:MOST]]
    return rows


def sampling(recipe: Recipe, found: Sequence[Mapping[str, Any]]) -> list[Drawn]:
    """The sampling grid, and how many rows of each point were delivered."""
    planned: Counter[tuple[float, float]] = Counter()
    for point in recipe.instruct.grid.points:
        planned[point.temperature, point.top_p] += point.rows
    delivered = {(one["temperature"], one["top_p"]): one["rows"] for one in found}
    return [Drawn(*point, planned[point], delivered.get(point, 0)) for point in planned]


def judges(recipe: Recipe, revisions: Mapping[str, str]) -> list[JudgeRow]:
    """The judges at work, with what they are.

    Args:
        recipe: Names them.
        revisions: Pinned revisions by what the recipe says ("model", or "model@revision").
    """
    models = judge_models(recipe)
    found = []
    for name, judge in JUDGES.items():
        if name not in recipe.judges.names:
            continue
        model, revision = judge.instead, None
        if name == "tags" and tags_itself(recipe):
            model = "the generator"
        elif config := models.get(name):
            model = str(config.model)
            revision = revisions.get(model_key(config), config.revision)
        found.append(JudgeRow(name, judge.says, model, revision))
    return found


def idle_judges(recipe: Recipe) -> dict[str, str]:
    """What is to be said of each judge that is off."""
    return {
        name: judge.off
        for name, judge in JUDGES.items()
        if name not in recipe.judges.names and judge.off
    }


def label_headings() -> dict[str, list[str]]:
    """Sections of label tables that are as wide as their labels are many, with their columns."""
    found: dict[str, list[str]] = {}
    for column in judge_columns():
        if column.heading:
            found.setdefault(column.heading, []).append(column.name)
    return found


def gate_names(recipe: Recipe) -> list[str]:
    """Names of the gates at work."""
    gates = build_gates(recipe.gates.rules, to_run=False)
    return list(dict.fromkeys(gate.name for gate in (*gates.instruction, *gates.response)))


def preset_of(selection: Selection) -> str | None:
    """The preset all of whose conditions are asked; None if there is none, or one is changed."""
    if selection.preset is None:
        return None
    asked = conditions(Selection(preset=selection.preset))
    return selection.preset if set(asked) <= set(conditions(selection)) else None


def sessions(found: Sequence[Mapping[str, Any]]) -> list[Session]:
    """Engine sessions, those that were alike in one line.

    The device of a server is its address, which is private.
    """
    alike: dict[Session, list[str]] = {}
    for one in found:
        device = "" if backend(str(one.get("engine"))).remote else str(one.get("device", ""))
        key = Session(
            str(one.get("engine", "")),
            str(one.get("version", "")),
            device,
            str(one.get("dtype", "")),
            one.get("slots"),
        )
        alike.setdefault(key, []).append(str(one.get("started", ""))[:10])
    return [
        key._replace(number=len(days), first=min(days), last=max(days))
        for key, days in alike.items()
    ]
