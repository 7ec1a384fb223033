"""Statistics of a release: every number of its card, counted in its Parquet files.

What is counted here is counted in the files that are published, not in what they were made from;
only what the rows have cost comes from the journal. A column is read at a time, and never the
texts: a million rows take seconds, and the memory of one column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.generate.plan import turn_suffix
from magpie_hub.release.columns import REASON, published_columns
from magpie_hub.store.usage import Usage

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.dataset as ds

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
BINS = 40
RAW = (REASON, "response_tokens")
"""Columns of the config `raw` that are counted."""


def counted_columns(turns: int) -> tuple[str, ...]:
    """Columns of the config `default` that are counted, a struct's field after a dot."""
    found = []
    for name, column in published_columns(turns).items():
        if column.counted:
            found.append(name)
        found += [f"{name}.{field.name}" for field in column.fields if field.counted]
    return tuple(found)


def describe(
    default: Sequence[Path], raw: Sequence[Path], costs: Iterable[Usage] = ()
) -> dict[str, Any]:
    """Counts a release.

    Args:
        default: Parquet files of the config `default`, with `counted_columns` at least.
        raw: Those of the config `raw`, with `RAW` at least.
        costs: What the rows have cost.

    Returns:
        What goes into ``stats.json``; docs/release.md says what each entry means.
    """
    delivered, rejected = _Table(default), _Table(raw)
    turns = sum(name.startswith("response_tokens") for name in delivered.names)
    reasons = Counter[str](rejected.values(REASON))
    rows, planned = delivered.rows, rejected.rows
    stats: dict[str, Any] = {
        "rows": rows,
        "turns": turns,
        "funnel": {"planned": planned, "rejected": _falling(reasons), "delivered": rows},
        "yield": round(rows / planned, 6) if planned else 0.0,
        "sampling": _sampling(delivered),
        "lengths": _lengths(delivered, turns),
        "labels": _labels(delivered, turns),
        "numbers": {
            name: distribution(delivered.numbers(name), rows)
            for name, column in published_columns(turns).items()
            if column.counted == "numbers" and name in delivered.names
        },
    }
    if "repeat_count" in delivered.names:
        repeats = Counter(delivered.values("repeat_count"))
        stats["repeats"] = {str(count): repeats[count] for count in sorted(repeats)}
    stats["failures"] = _failures(delivered)
    stats["spent"] = [cost.to_json() for cost in costs]
    stats["saved"] = _saved(rejected)
    return stats


class _Table:
    """Columns of one config, of which some files may lack what is not counted."""

    def __init__(self, files: Sequence[Path]) -> None:
        import pyarrow.dataset as ds

        self._dataset: ds.Dataset = ds.dataset([str(file) for file in files], format="parquet")
        self.names: list[str] = self._dataset.schema.names
        self.rows: int = self._dataset.count_rows()

    def column(self, *path: str) -> pa.ChunkedArray:
        """A column, or a field of a struct."""
        import pyarrow.dataset as ds

        return self._dataset.to_table(columns={"it": ds.field(*path)})["it"]

    def values(self, *path: str) -> dict[Any, int]:
        """Counts of a column's values, those of the items of a column of lists; not of nulls."""
        import pyarrow as pa

        column = self.column(*path)
        if pa.types.is_list(column.type):
            column = pa.chunked_array(
                [chunk.flatten() for chunk in column.chunks], column.type.value_type
            )
        counted = column.drop_null().value_counts()
        return {one["values"]: one["counts"] for one in counted.to_pylist()}

    def items(self, name: str, field: str) -> Iterator[Any]:
        """A field of all structs in a column of lists."""
        for chunk in self.column(name).chunks:
            yield from chunk.flatten().field(field).to_pylist()

    def numbers(self, *path: str) -> np.ndarray[Any, Any]:
        """A column's numbers, without nulls and what is not finite."""
        import numpy as np

        found: np.ndarray[Any, Any] = self.column(*path).drop_null().to_numpy()
        return found[np.isfinite(found)] if found.dtype.kind == "f" else found

    def missing(self, *path: str) -> int:
        """Nulls of a column; of a column of lists, nulls and empty lists."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.column(*path)
        if pa.types.is_list(column.type):
            return int(
                pc.sum(pc.fill_null(pc.equal(pc.list_value_length(column), 0), True)).as_py() or 0
            )
        return int(column.null_count)


def _sampling(table: _Table) -> list[dict[str, Any]]:
    import numpy as np

    temperature = table.column("gen_input_configs", "temperature").to_numpy()
    top_p = table.column("gen_input_configs", "top_p").to_numpy()
    points, counts = np.unique(np.stack([temperature, top_p]), axis=1, return_counts=True)
    return [
        {"temperature": float(points[0, n]), "top_p": float(points[1, n]), "rows": int(count)}
        for n, count in enumerate(counts)
    ]


def _lengths(table: _Table, turns: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for end in map(turn_suffix, range(1, turns + 1)):
        tokens = [table.numbers(f"{side}_tokens{end}") for side in ("instruction", "response")]
        found[f"instruction_tokens{end}"] = distribution(tokens[0], table.rows, tail=True)
        found[f"response_tokens{end}"] = distribution(tokens[1], table.rows, tail=True)
        found[f"turn_tokens{end}"] = distribution(tokens[0] + tokens[1], table.rows, tail=True)
        for side in ("instruction", "response"):
            name = f"{side}_length{end}"
            found[name] = distribution(table.numbers(name), table.rows, tail=True)
    return found


def _labels(table: _Table, turns: int) -> dict[str, Any]:
    found = {}
    for name, column in published_columns(turns).items():
        if column.counted != "labels" or name not in table.names:
            continue
        counts = table.values(name)
        if column.kind == "truth":
            yes, no = column.values
            counts = {yes: counts.get(True, 0), no: counts.get(False, 0)}
        else:
            counts = _falling(counts)
        found[name] = {"counts": counts, "missing": table.missing(name)}
    return found


def _failures(table: _Table) -> dict[str, dict[str, int]]:
    if "judge_failures" not in table.names:
        return {}
    found: dict[str, Counter[str]] = {}
    judges, reasons = (
        table.items("judge_failures", "judge"),
        table.items("judge_failures", "reason"),
    )
    for judge, reason in zip(judges, reasons, strict=True):
        found.setdefault(judge, Counter())[reason.split(":", 1)[0]] += 1
    return {judge: _falling(reasons) for judge, reasons in sorted(found.items())}


def _saved(raw: _Table) -> dict[str, Any]:
    """Responses that were not paid for, at the mean length of those that were."""
    answered = raw.numbers("response_tokens")
    rows = raw.rows - len(answered)
    mean = float(answered.mean()) if len(answered) else 0.0
    return {"rows": rows, "mean_response_tokens": round(mean, 2), "tokens": round(rows * mean)}


def distribution(numbers: np.ndarray[Any, Any], rows: int, *, tail: bool = False) -> dict[str, Any]:
    """Sums numbers up.

    Args:
        numbers: Finite numbers.
        rows: Rows that they come from; the others have none.
        tail: Whether the histogram's bins widen geometrically, for counts with a long tail.

    Returns:
        Count, missing, mean, std (of the population), min, max, percentiles (linear between
        ranks) and a histogram whose last bin holds its upper edge.
    """
    import numpy as np

    found: dict[str, Any] = {"count": len(numbers), "missing": rows - len(numbers)}
    if not len(numbers):
        nothing = dict.fromkeys(("mean", "std", "min", "max"))
        return {**found, **nothing, "percentiles": {}, "histogram": {"edges": [], "counts": []}}
    low, high = numbers.min().item(), numbers.max().item()
    edges = _edges(low, high, tail)
    counts, _ = np.histogram(numbers, edges)
    ranks = np.percentile(numbers, PERCENTILES)
    return {
        **found,
        "mean": _short(numbers.mean()),
        "std": _short(numbers.std()),
        "min": low if isinstance(low, int) else _short(low),
        "max": high if isinstance(high, int) else _short(high),
        "percentiles": {
            str(percent): _short(value) for percent, value in zip(PERCENTILES, ranks, strict=True)
        },
        "histogram": {"edges": edges, "counts": counts.tolist()},
    }


def _edges(low: float, high: float, tail: bool) -> list[float]:
    """Edges of a histogram's bins: rising, from the lowest number to the highest."""
    import numpy as np

    if low == high:
        return [low, low + 1]
    if tail:
        inner = np.geomspace(max(1, low), max(2, high), BINS + 1).round().astype(int).tolist()
    else:
        inner = [_short(edge) for edge in np.linspace(low, high, BINS + 1)]
    # Rounding may leave an inner edge a hair from an end.
    hair = 0 if tail else (high - low) / BINS / 1000
    return [low, *sorted({edge for edge in inner if low + hair < edge < high - hair}), high]


def _short(value: float) -> float:
    """A number at six significant digits, which is what two platforms agree on."""
    return float(f"{float(value):.6g}")


def _falling(counts: dict[str, int] | Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
