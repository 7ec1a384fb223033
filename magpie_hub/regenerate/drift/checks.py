"""The drift checks: figures of new rows beside those of the published rows.

Each kind of check is a function from two `stats.json`, that of the published release and that of
the new rows alone (docs/release.md), to its checks. `KINDS` lists them. A figure that one of the
two sets lacks is not checked, nor one whose bound is None in the recipe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import fsum, inf, isfinite
from typing import Any, Literal

from magpie_hub.recipe.regenerate import Drift
from magpie_hub.regenerate.drift.significance import (
    Proportion,
    Summary,
    fisher_greater,
    fisher_two_sided,
    homogeneity,
    poisson_greater,
    sign_test,
    t_test,
)
from magpie_hub.release.card import numbers
from magpie_hub.release.card.funnel import funnel_steps
from magpie_hub.release.card.tables import UNLABELLED
from magpie_hub.release.columns import find_column, judge_columns

Stats = Mapping[str, Any]
State = Literal["ok", "unsure", "warning", "failed"]
"""What comes of a check; unsure: over its bound, with too few rows to tell that from chance."""

Side = Literal["apart", "rise", "at least", "at most"]

_LENGTHS = re.compile(r"(instruction|response)_tokens(_\d+)?")
_PERCENTILES = {"50": "median", "95": "95th percentile"}

_REPEATS = frozenset({"instruction.duplicate", "selection.near_duplicate", "selection.published"})
_QUOTAS = frozenset({"selection.shorter", "selection.mix", "selection.surplus"})

_NO_LABEL = "\0"
_ROUNDING = 1e-5  # the relative difference that two figures of six digits may have by rounding


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
    return numbers.share(value, 1)


SHARE = Unit(_percent, lambda size: f"{100 * size:.3g} points")
GROWING = Unit(_percent, lambda size: f"{100 * size:.3g} points beyond growth")
MIX = Unit(_percent, lambda size: f"{_percent(size)} of the mix")
LENGTH = Unit(
    lambda value: f"{numbers.number(value)} tokens", lambda size: f"a factor of {1 + size:.3g}"
)
MEAN = Unit(numbers.number, lambda size: f"{size:.3g} standard deviations")
ROWS = Unit(lambda value: numbers.count(int(value)), lambda size: numbers.count(int(size)))


@dataclass(frozen=True, slots=True)
class Check:
    """One figure, compared with the published one or with a floor.

    Attributes:
        name: What the check is called: "yield", "mix.task_category", ….
        what: What it compares, in words. May hold words of a model or a repository.
        unit: How its figures are written.
        side: Whether any difference counts ("apart") or only a rise ("rise"); for a floor or a
            ceiling, on which side the new figure has to be.
        published: The published figure; None for a floor, which looks at the new rows alone.
        new: The new rows' figure.
        size: How large the difference is, in the terms of the bound; not over 0 for a change that
            does not count.
        bound: The largest difference allowed; for a floor or a ceiling, itself.
        p: Chance of a difference as large between equal distributions; None where there is
            no test. In a report it is corrected for the number of checks.
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
        """What is wrong, in a sentence; "" if nothing is."""
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


@dataclass(frozen=True, slots=True)
class FunnelCounts:
    """Where the planned rows of a set went.

    A row is rejected for a cause, for repeating an earlier row, or because a quota of the selection
    was full. Only causes describe the generator: repeats grow with the set, and quotas are by
    construction.

    Attributes:
        planned: Rows planned.
        delivered: Rows of the dataset.
        passed: Rows that every gate and rule let through, delivered or not.
        repeats: Rows rejected for repeating an earlier one, of the set or published before.
        causes: Rows rejected for any other cause, by reason.
        says: The reasons in words; "" where none are known.
    """

    planned: int
    delivered: int
    passed: int
    repeats: int
    causes: Mapping[str, int]
    says: Mapping[str, str]

    @classmethod
    def of(cls, stats: Stats) -> FunnelCounts:
        """Counts the `funnel` of a `stats.json`."""
        found = funnel_steps(stats["funnel"])
        causes = {one.code: one.rows for one in found if one.code not in _REPEATS | _QUOTAS}
        repeats = sum(one.rows for one in found if one.code in _REPEATS)
        planned, delivered = stats["funnel"]["planned"], stats["funnel"]["delivered"]
        passed = max(0, planned - repeats - sum(causes.values()))
        says = {one.code: one.says for one in found}
        return cls(planned, delivered, passed, repeats, causes, says)


def check_shares(published: Stats, new: Stats, bounds: Drift) -> Iterator[Check]:
    """Shares of rows, by Fisher's exact test; their difference is held against the bound.

    Of the planned rows those that pass and those rejected for each cause; of the delivered rows
    those that are unsafe, could not be judged, or were cut off.
    """
    now, old = FunnelCounts.of(new), FunnelCounts.of(published)
    yield from _share(
        "yield",
        "planned rows that pass, repeats aside",
        Proportion(now.passed, now.planned - now.repeats),
        Proportion(old.passed, old.planned - old.repeats),
        bounds.passing,
    )
    for reason in sorted({*old.causes, *now.causes}):
        says = old.says.get(reason) or now.says.get(reason)
        yield from _share(
            f"reject.{reason}",
            f"planned rows rejected as {reason}" + (f" ({says})" if says else ""),
            Proportion(now.causes.get(reason, 0), now.planned),
            Proportion(old.causes.get(reason, 0), old.planned),
            bounds.rejects,
        )
    what = "rows that the guard calls unsafe"
    yield from _share("unsafe", what, _unsafe(new), _unsafe(published), bounds.unsafe)
    # A row counts once for each judge, so judges cannot be added up.
    for judge in sorted({*published.get("failures", {}), *new.get("failures", {})}):
        failed = [
            Proportion(sum(stats.get("failures", {}).get(judge, {}).values()), stats.get("rows", 0))
            for stats in (new, published)
        ]
        what = f"rows that the judge {judge} could not label"
        yield from _share(
            f"judge.{judge}", what, failed[0], failed[1], bounds.judge_failures, "rise"
        )
    for name in _both(published, new, "labels", re.compile(r"finish_reason(_\d+)?").fullmatch):
        counts = [stats["labels"][name]["counts"] for stats in (new, published)]
        cut = [Proportion(one.get("length", 0), sum(one.values())) for one in counts]
        what = f"responses that ran into the token limit ({name})"
        turn = name.removeprefix("finish_reason")
        yield from _share(f"cut_off{turn}", what, cut[0], cut[1], bounds.cut_off, "rise")


def _share(
    name: str,
    what: str,
    new: Proportion,
    published: Proportion,
    bound: float | None,
    side: Side = "apart",
) -> Iterator[Check]:
    if bound is None or not new.of or not published.of:
        return
    size = new.share - published.share
    if side == "rise":
        p = fisher_greater(new, published)
    else:
        size, p = abs(size), fisher_two_sided(new, published)
    yield Check(name, what, SHARE, side, published.share, new.share, size, bound, p)


def _unsafe(stats: Stats) -> Proportion:
    """The unsafe rows, of those that the guard judged."""
    counts = stats.get("labels", {}).get("safe", {}).get("counts", {})
    return Proportion(counts.get("unsafe", 0), sum(counts.values()))


def _both(published: Stats, new: Stats, key: str, wanted: Callable[[str], object]) -> list[str]:
    """Columns that both sets have statistics of, sorted."""
    both = published.get(key, {}).keys() & new.get(key, {}).keys()
    return sorted(filter(wanted, both))


def _mixed(name: str) -> bool:
    """Whether the mix of a column's labels is compared."""
    column = find_column(name)
    return column is not None and column.drift == "mix"


def check_duplicates(published: Stats, new: Stats, bounds: Drift) -> Iterator[Check]:
    """Planned rows that repeat an earlier row, of the increment or published before.

    The more rows there are, the more of the next ones repeat one of them, without anything being
    wrong. Of P published and n new planned rows, P²/2 pairs could repeat each other before, and
    Pn + n²/2 more can now: if pairs repeat each other as often as they did, the share of the new
    rows that repeat a row grows by the factor 2 + n/P. Where a few favourites are drawn again and
    again it grows less. So the new share is compared with the published one times that factor, by
    the exact test of two Poisson rates, one-sided; the rise beyond it is held against the bound.
    """
    old, now = FunnelCounts.of(published), FunnelCounts.of(new)
    if bounds.duplicates is None or not old.planned or not now.planned:
        return
    growth = 2 + now.planned / old.planned
    explained = min(1.0, growth * old.repeats / old.planned)
    share = now.repeats / now.planned
    yield Check(
        "duplicates",
        f"planned rows that repeat an earlier one, {explained:.1%} by growth alone",
        GROWING,
        "rise",
        old.repeats / old.planned,
        share,
        share - explained,
        bounds.duplicates,
        poisson_greater(now.repeats, old.repeats, growth * now.planned / old.planned),
    )


def check_mixes(published: Stats, new: Stats, bounds: Drift) -> Iterator[Check]:
    """Mixes of labels: category, difficulty, quality, language, finish reason.

    By a test of homogeneity. Held against the bound: the total variation distance, which is the
    share of rows that would need another label for the two mixes to be one. Rows without a label
    are a part of the mix: text in no language has none.
    """
    if bounds.mix is None:
        return
    for name in _both(published, new, "labels", _mixed):
        now, old = (
            {**stats["labels"][name]["counts"], _NO_LABEL: stats["labels"][name]["missing"]}
            for stats in (new, published)
        )
        total, old_total = sum(now.values()), sum(old.values())
        if not total or not old_total:
            continue
        cells = {
            cell: (now.get(cell, 0) / total, old.get(cell, 0) / old_total)
            for cell in sorted({*now, *old})
        }
        # The first of equals in the order of the labels, whatever the order of the keys.
        most = max(cells, key=lambda cell: abs(cells[cell][0] - cells[cell][1]))
        label = most if most != _NO_LABEL else UNLABELLED
        yield Check(
            f"mix.{name}",
            f"mix of {name}, above all {label}",
            MIX,
            "apart",
            cells[most][1],
            cells[most][0],
            min(1.0, fsum(abs(one - other) for one, other in cells.values()) / 2),
            bounds.mix,
            homogeneity(*([counts.get(cell, 0) for cell in cells] for counts in (now, old))),
        )


def check_lengths(published: Stats, new: Stats, bounds: Drift) -> Iterator[Check]:
    """Median and 95th percentile of the tokens of every instruction and response.

    By a sign test on the histograms. Held against the bound: how many times as long or as short
    the percentile has become, less one.
    """
    if bounds.lengths is None:
        return
    for name in _both(published, new, "lengths", _LENGTHS.fullmatch):
        old, now = published["lengths"][name], new["lengths"][name]
        if not old["count"] or not now["count"]:
            continue
        for percent, words in _PERCENTILES.items():
            before, after = old["percentiles"][percent], now["percentiles"][percent]
            # An empty text counts as one token: twice nothing is nothing.
            low, high = sorted((max(1.0, before), max(1.0, after)))
            yield Check(
                f"length.{name}.p{percent}",
                f"{words} of {name}",
                LENGTH,
                "apart",
                before,
                after,
                high / low - 1,
                bounds.lengths,
                sign_test(now, old, percent),
            )


def check_means(published: Stats, new: Stats, bounds: Drift) -> Iterator[Check]:
    """Mean reward, and mean distance from the base model's reward.

    By a t-test. Held against the bound: the difference in standard deviations of the published rows
    (Cohen's d with one set's spread, Glass's Δ).
    """
    if bounds.rewards is None:
        return
    for name in [column.name for column in judge_columns() if column.drift == "mean"]:
        old, now = _summary(published, name), _summary(new, name)
        if old is None or now is None:
            continue
        if abs(now.mean - old.mean) <= _ROUNDING * max(abs(old.mean), abs(now.mean)):
            now = replace(now, mean=old.mean)
        difference = abs(now.mean - old.mean)
        yield Check(
            f"mean.{name}",
            f"mean of {name}",
            MEAN,
            "apart",
            old.mean,
            now.mean,
            difference / old.std if old.std else (inf if difference else 0.0),
            bounds.rewards,
            t_test(now, old),
        )


def _summary(stats: Stats, name: str) -> Summary | None:
    """The figures of a column of numbers; None if it has none, or none that are finite."""
    found = stats.get("numbers", {}).get(name)
    if not found or not found["count"]:
        return None
    if not isfinite(found["mean"]) or not isfinite(found["std"]):
        return None
    return Summary(found["mean"], found["std"], found["count"])


KINDS = (check_shares, check_duplicates, check_mixes, check_lengths, check_means)
"""The kinds of checks that compare two sets."""


def check_floors(new: Stats, bounds: Drift) -> Iterator[Check]:
    """Floors and ceilings: what the new rows must be, whatever is published.

    A recipe that asks for a number gets that number: there is no test, and no warning before it.
    """
    funnel = FunnelCounts.of(new)
    yield from _floor("rows", "rows", ROWS, new.get("rows", funnel.delivered), "at least", 1)
    if funnel.planned:
        share = funnel.delivered / funnel.planned
        what = "planned rows delivered"
        yield from _floor("yield", what, SHARE, share, "at least", bounds.min_yield)
        share = funnel.repeats / funnel.planned
        what = "planned rows that repeat an earlier one"
        yield from _floor("duplicates", what, SHARE, share, "at most", bounds.max_duplicates)
    if (unsafe := _unsafe(new)).of:
        what = "rows that the guard calls unsafe"
        yield from _floor("unsafe", what, SHARE, unsafe.share, "at most", bounds.max_unsafe)
    if reward := _summary(new, "instruct_reward"):
        what = "mean of instruct_reward"
        yield from _floor("reward", what, MEAN, reward.mean, "at least", bounds.min_reward)


def _floor(
    name: str, what: str, unit: Unit, new: float, side: Side, bound: float | None
) -> Iterator[Check]:
    if bound is None:
        return
    short = bound - new if side == "at least" else new - bound
    state: State = "failed" if short > 0 else "ok"
    yield Check(f"floor.{name}", what, unit, side, None, new, max(0.0, short), bound, state=state)
