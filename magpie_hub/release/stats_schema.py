"""The statistics of a release as they are read back: `stats` counts them, this checks them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from magpie_hub.errors import UserError
from magpie_hub.generate.plan import turn_suffix
from magpie_hub.release.documents import Count, DocumentPart, FunnelRecord, Number, parse, read_file

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Digits = Annotated[str, StringConstraints(pattern=r"\A[0-9]{1,15}\z")]


class _Histogram(DocumentPart):
    edges: list[Number]
    counts: list[Count]


class _Distribution(DocumentPart):
    count: Count
    missing: Count
    mean: Number | None
    std: NotNegative | None
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


class _Labels(DocumentPart):
    counts: dict[str, Count]
    missing: Count


class _Sampled(DocumentPart):
    temperature: Number
    top_p: Number
    rows: Count


class _Cost(DocumentPart):
    stage: str
    model: str
    rows: Count = 0
    seconds: NotNegative = 0.0
    decoded_tokens: Count = 0
    prompt_tokens: Count = 0
    cached_tokens: Count = 0


class _Saved(DocumentPart):
    rows: Count
    mean_response_tokens: NotNegative
    tokens: Count


class Stats(DocumentPart):
    """What ``stats.json`` holds."""

    rows: Count
    turns: Annotated[int, Field(ge=1, le=8)]
    funnel: FunnelRecord
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
    def _fits(self) -> Stats:
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


def parse_stats(content: bytes, where: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the statistics of a release.

    Args:
        content: The file's bytes.
        where: What to call it in a message.
        manifest: The release's manifest, as `parse_manifest` returns it.

    Raises:
        UserError: They are none that we write, or are of another release.
    """
    found = parse(content, where, Stats)
    if any(found[key] != manifest[key] for key in ("rows", "funnel")):
        raise UserError(f"{where}: it is of another release than the manifest, or was edited")
    return found


def read_stats(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The statistics of the release in a folder; as `parse_stats`."""
    return parse_stats(read_file(folder, "stats.json"), str(folder / "stats.json"), manifest)
