"""The cost of a dataset: rows, seconds and tokens by stage and model, kept in its journal.

The figures are sums over all runs that worked on the journal's rows, failed and interrupted runs
included. A killed process loses only the figures of its current stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from magpie_hub.engines.base import Engine, EngineStats
from magpie_hub.store.journal import Journal

_KEY = "spent"


@dataclass(frozen=True, slots=True)
class Usage:
    """The cost of one stage with one model.

    Attributes:
        stage: "generate", or the judge's name.
        model: The stage's model; "" for a judge without one.
        rows: Rows finished by it.
        seconds: Its loading included.
        decoded_tokens: New tokens; 0 for a model that writes none.
        prompt_tokens: Prompt tokens submitted.
        cached_tokens: Of these, served from the prefix cache, as far as the engine knows.
    """

    stage: str
    model: str
    rows: int = 0
    seconds: float = 0.0
    decoded_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return replace(
            self,
            rows=self.rows + other.rows,
            seconds=round(self.seconds + other.seconds, 3),
            decoded_tokens=self.decoded_tokens + other.decoded_tokens,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class UsageMeter:
    """Adds up the cost of stages in a journal that is open for writing."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @contextmanager
    def stage(self, stage: str, model: str, rows: Callable[[], int]) -> Iterator[Use]:
        """Counts a stage, however it ends.

        Args:
            stage: See `Usage`.
            model: See `Usage`.
            rows: Rows finished so far; what it returns at the end less what it returned at the
                beginning is counted.
        """
        use, before, begun = Use(), rows(), time.monotonic()
        try:
            yield use
        finally:
            seconds = round(time.monotonic() - begun, 3)
            cost = replace(use.tokens(Usage(stage, model)), rows=rows() - before, seconds=seconds)
            self._journal.set_meta(
                _KEY, [one.to_json() for one in total([*usage_of(self._journal), cost])]
            )


class Use:
    """The engines that a stage uses."""

    def __init__(self) -> None:
        self._used: list[tuple[EngineStats, EngineStats]] = []

    def engine(self, engine: Engine) -> None:
        """Counts an engine's tokens from now on."""
        self._used.append((engine.stats, replace(engine.stats)))

    def tokens(self, cost: Usage) -> Usage:
        """Adds the engines' tokens."""
        for now, then in self._used:
            cost += Usage(
                cost.stage,
                cost.model,
                decoded_tokens=now.decoded_tokens - then.decoded_tokens,
                prompt_tokens=now.prompt_tokens - then.prompt_tokens,
                cached_tokens=(now.cached_tokens or 0) - (then.cached_tokens or 0),
            )
        return cost


def usage_of(journal: Journal) -> list[Usage]:
    """The cost of a journal's rows."""
    return [Usage(**one) for one in journal.meta(_KEY) or ()]


def since(costs: Iterable[Usage], before: Iterable[Usage]) -> list[Usage]:
    """The cost since an earlier state, by stage and model."""
    then = {(cost.stage, cost.model): cost for cost in before}
    fresh = []
    for cost in costs:
        old = then.get((cost.stage, cost.model), Usage(cost.stage, cost.model))
        less = replace(
            cost,
            rows=cost.rows - old.rows,
            seconds=round(cost.seconds - old.seconds, 3),
            decoded_tokens=cost.decoded_tokens - old.decoded_tokens,
            prompt_tokens=cost.prompt_tokens - old.prompt_tokens,
            cached_tokens=cost.cached_tokens - old.cached_tokens,
        )
        if less != Usage(cost.stage, cost.model):
            fresh.append(less)
    return fresh


def total(costs: Iterable[Usage]) -> list[Usage]:
    """Sums by stage and model, in the order of their first appearance."""
    sums: dict[tuple[str, str], Usage] = {}
    for cost in costs:
        key = (cost.stage, cost.model)
        sums[key] = sums[key] + cost if key in sums else cost
    return list(sums.values())
