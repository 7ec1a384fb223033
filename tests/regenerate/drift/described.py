"""Statistics that `describe` has made of files with random rows in them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from magpie_hub.generate.plan import turn_suffix
from magpie_hub.judges.registry import JUDGES
from magpie_hub.release.schema import arrow_schema
from magpie_hub.release.stats import describe

WORDS = st.none() | st.sampled_from(["Math", "easy", "EN", "| *x* |", ""]) | st.text(max_size=9)
TOKENS = st.integers(0, 5) | st.integers(0, 10**7)
REWARDS = st.none() | st.floats() | st.integers(-9, 9).map(float)
REASONS = st.sampled_from(
    ["instruction.duplicate", "selection.published", "selection.mix", "response_2.cut_off"]
) | st.text(max_size=9)


@st.composite
def described(draw: st.DrawFn, most: int = 8) -> dict[str, Any]:
    """What `describe` says of up to so many delivered and as many rejected rows."""
    turns = draw(st.integers(1, 2))
    judges = sorted(draw(st.sets(st.sampled_from(sorted(JUDGES)))))
    schema = arrow_schema(turns, judges)
    rows = draw(st.lists(st.fixed_dictionaries(_columns(schema.names)), max_size=most))
    reasons = draw(st.lists(REASONS, max_size=most))
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder) / "data" / "default", rows, schema)
        raw = [
            *({**row, "reject_reason": None} for row in rows),
            *({"reject_reason": reason} for reason in reasons),
        ]
        _write(Path(folder) / "data" / "raw", raw, arrow_schema(turns, judges, raw=True))
        data = Path(folder) / "data"
        return describe(sorted((data / "default").iterdir()), sorted((data / "raw").iterdir()))


def _columns(names: list[str]) -> dict[str, st.SearchStrategy[Any]]:
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "gen_input_configs": st.just({"temperature": 1.0, "top_p": 1.0}),
        "task_category": WORDS,
        "difficulty": WORDS,
        "input_quality": WORDS,
        "language": WORDS,
        "safe": st.none() | st.booleans(),
        "instruct_reward": REWARDS,
        "reward_difference": REWARDS,
        "repeat_count": st.integers(0, 3),
        "judge_failures": st.lists(
            st.fixed_dictionaries({"judge": st.text(max_size=5), "reason": st.text(max_size=5)}),
            max_size=2,
        ),
    }
    for end in map(turn_suffix, (1, 2)):
        kinds |= {f"{side}_tokens{end}": TOKENS for side in ("instruction", "response")}
        kinds |= {f"{side}_length{end}": TOKENS for side in ("instruction", "response")}
        kinds[f"finish_reason{end}"] = st.sampled_from(["stop", "length", "loop"])
    return {name: kinds[name] for name in names if name in kinds}


def _write(folder: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "train-00000-of-00001.parquet")
