"""A release's data as the card gets it, small and complete: two turns, every judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from magpie_hub.generate.plan import turn_suffix
from magpie_hub.judges.registry import JUDGES
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.load import parse_recipe
from magpie_hub.release.card.data import CardData
from magpie_hub.release.schema import arrow_schema, to_sharegpt
from tests.release.shard_files import write_shards

RECIPE = """
name: toy
description: A toy of two turns.
model: toy/model
rows: 4
turns: 2
seed: 7
instruct:
  grid:
    rows: 2
    points:
    - {temperature: 1.0, top_p: 1.0, rows: 1}
    - {temperature: 1.2, top_p: 0.99, rows: 1}
  systems:
  - {name: maths, weight: 2, text: Ask about maths.}
judges:
  tags: {model: toy/tagger, mode: explained}
  reward: {model: toy/reward, base: {model: toy/base, revision: v1}}
  guard: {model: toy/guard}
  language: true
  neighbors: {model: toy/embedder}
selection: {preset: pro-filter2, require_safe: true}
card: {pretty_name: Magpie Toy, tags: [toys]}
"""


def recipe(**changes: Any) -> Recipe:
    """The recipe, with changes to its card."""
    made = parse_recipe(RECIPE, "toy")
    return made.model_copy(update={"card": made.card.model_copy(update=changes)})


def row(row_id: int, turns: int = 2, judges: Sequence[str] = tuple(JUDGES), **values: Any) -> dict:
    """A published row, with every column of its schema."""
    kinds: dict[str, Any] = {
        "text": "words",
        "texts": ["S1"],
        "integer": 0,
        "number": 0.25,
        "truth": True,
    }
    found: dict[str, Any] = {
        "uuid": f"00000000-0000-0000-0000-{row_id:012d}",
        "row_id": row_id,
        "model": "toy/model",
        "messages": [],
        "judge_failures": [],
    }
    for turn in range(1, turns + 1):
        end = turn_suffix(turn)
        found |= {"instruction" + end: "Why is the moon round?", "response" + end: "It is heavy."}
        found |= {"instruction_tokens" + end: 6, "response_tokens" + end: 4}
        found |= {"instruction_length" + end: 22, "response_length" + end: 12}
        found["finish_reason" + end] = "stop"
    for judge in judges:
        found |= {column.name: kinds[column.kind] for column in JUDGES[judge].columns}
    found |= values
    for turn in range(1, turns + 1):
        found["messages"] += [
            {"role": "user", "content": found["instruction" + turn_suffix(turn)]},
            {"role": "assistant", "content": found["response" + turn_suffix(turn)]},
        ]
    return found


def distribution(numbers: list[float], missing: int = 0) -> dict[str, Any]:
    """As in stats.json."""
    if not numbers:
        nothing = dict.fromkeys(("mean", "std", "min", "max"))
        histogram: dict[str, Any] = {"edges": [], "counts": []}
        return {
            "count": 0,
            "missing": missing,
            **nothing,
            "percentiles": {},
            "histogram": histogram,
        }
    found = sorted(numbers)
    return {
        "count": len(found),
        "missing": missing,
        "mean": sum(found) / len(found),
        "std": 1.5,
        "min": found[0],
        "max": found[-1],
        "percentiles": {
            str(p): found[(len(found) - 1) * p // 100] for p in (1, 5, 25, 50, 75, 95, 99)
        },
        "histogram": {"edges": [found[0], found[-1] + 1], "counts": [len(found)]},
    }


def stats(turns: int = 2) -> dict[str, Any]:
    """As in stats.json, for four rows."""
    lengths = {}
    for end in map(turn_suffix, range(1, turns + 1)):
        for name in ("instruction_tokens", "response_tokens", "turn_tokens"):
            lengths[name + end] = distribution([10, 20, 30, 4000])
        for name in ("instruction_length", "response_length"):
            lengths[name + end] = distribution([51.5, 100, 150, 20_000])
    return {
        "rows": 4,
        "turns": turns,
        "funnel": {
            "planned": 1250,
            "rejected": {
                "selection.quality": 700,
                "instruction.colon": 300,
                "instruction.repetition:loop": 100,
                "instruction.repetition:words": 40,
                "instruction.quality:poor@0123abcd": 60,
                "response_2.cut_off": 31,
                "selection.unjudged.tags": 15,
            },
            "delivered": 4,
        },
        "yield": 0.0032,
        "sampling": [
            {"temperature": 1.0, "top_p": 1.0, "rows": 3},
            {"temperature": 1.2, "top_p": 0.99, "rows": 1},
        ],
        "lengths": lengths,
        "labels": {
            "task_category": {"counts": {"Math": 3}, "missing": 1},
            "difficulty": {"counts": {"easy": 2, "medium": 1}, "missing": 1},
            "input_quality": {"counts": {"excellent": 3}, "missing": 1},
            "language": {"counts": {"EN": 3, "DE": 1}, "missing": 0},
            "safety_categories": {"counts": {"S1": 1}, "missing": 3},
            "finish_reason": {"counts": {"stop": 4}, "missing": 0},
            "safe": {"counts": {"safe": 3, "unsafe": 1}, "missing": 0},
        },
        "numbers": {
            "min_neighbor_distance": distribution([0.1, 0.2, 0.3, 1.9]),
            "instruct_reward": distribution([-10.5, 2.0, 3.0, 4.0]),
            "base_reward": distribution([], missing=4),
            "reward_difference": distribution([-1.0, 0.5], missing=2),
        },
        "repeats": {"0": 2, "1": 1, "12": 1},
        "failures": {"tags": {"cut_off": 1}},
        "spent": [
            {
                "stage": "generate",
                "model": "toy/model",
                "rows": 1250,
                "seconds": 4000.0,
                "decoded_tokens": 120_000,
                "prompt_tokens": 50_000,
                "cached_tokens": 40_000,
            },
            {
                "stage": "language",
                "model": "",
                "rows": 790,
                "seconds": 0.4,
                "decoded_tokens": 0,
                "prompt_tokens": 0,
                "cached_tokens": 0,
            },
        ],
        "saved": {"rows": 500, "mean_response_tokens": 812.25, "tokens": 406_125},
    }


MANIFEST: dict[str, Any] = {
    "made_by": "magpie_hub",
    "version": "0.1.0",
    "method": 1,
    "name": "toy",
    "rows": 4,
    "seed": 7,
    "recipe_fingerprint": "0f1e2d3c4b5a",
    "model": {"name": "toy/model", "revision": "abc123"},
    "judges": {
        "toy/tagger": "tag1",
        "toy/reward": "rew1",
        "toy/base@v1": "bas1",
        "toy/guard": "gua1",
        "toy/embedder": "emb1",
    },
    "increments": [{"tag": "v1.0.0"}],
    "chat": {"pre_query": {"text": "<|user|>\n", "ids": [1, 2]}},
    "sessions": [
        {
            "id": n,
            "started": f"2026-11-0{n} 10:00:00",
            "engine": "vllm",
            "version": "0.19.1",
            "device": "NVIDIA H200 x1",
            "dtype": "bfloat16",
            "slots": 256,
        }
        for n in (1, 2)
    ],
    "versions": {"datasets": "5.2.0", "pyarrow": "26.0.1"},
}

PLOTS = [("lengths.png", "Lengths", "Two histograms of lengths in tokens.")]
SIBLINGS = [
    {
        "name": "toy-one",
        "repo_id": "me/magpie-toy-one",
        "turns": 1,
        "generator": "toy/model",
        "rows": 1250,
    },
]
CHANGELOG = [
    {
        "tag": "data-3f2a9c0d1e2f",
        "date": "2026-11-03",
        "edition": "1.0",
        "text": "The first release.",
    }
]


def write_data(
    folder: Path, rows: list[dict], turns: int = 2, judges: Sequence[str] = tuple(JUDGES)
) -> None:
    """The Parquet files of a release: the rows, and a rejected one besides in `raw`."""
    write_shards(rows, arrow_schema(turns, judges), folder / "data" / "default")
    turned = to_sharegpt(pa.Table.from_pylist(rows, arrow_schema(turns, judges)))
    write_shards(turned.to_pylist(), turned.schema, folder / "data" / "sharegpt")
    raw = [*rows, row(len(rows), turns, judges) | {"reject_reason": "instruction.colon"}]
    write_shards(raw, arrow_schema(turns, judges, raw=True), folder / "data" / "raw")


def card_data(**changes: Any) -> CardData:
    """Everything that a card shows but for its `info`; keywords replace what is named."""
    return CardData(
        **{
            "recipe": recipe(),
            "stats": stats(),
            "manifest": MANIFEST,
            "tag": "data-3f2a9c0d1e2f",
            "license": "llama3",
            "examples": [row(0), row(1)],
            "pictures": PLOTS,
            "repo_id": "me/magpie-toy",
            "siblings": SIBLINGS,
            "changelog": CHANGELOG,
            **changes,
        }
    )
