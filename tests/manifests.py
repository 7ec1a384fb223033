"""Manifests as a release has them, for repositories of which nothing else is looked at."""

from __future__ import annotations

import json
from typing import Any

from magpie_hub.release.schema import arrow_schema

FILES = ("README.md", "recipe.yaml", "stats.json")
SHARDS = tuple(
    f"data/{config}/train-00000-of-00001.parquet" for config in ("default", "raw", "sharegpt")
)


def manifest(name: str, rows: int = 4, turns: int = 1, **changes: Any) -> bytes:
    """The manifest of a first release of so many rows.

    Args:
        name: Its recipe's name.
        rows: Rows planned, all of them delivered.
        turns: User turns.
        changes: Keys with other values.
    """
    funnel = {"planned": rows, "rejected": {}, "delivered": rows}
    tag, day = "data-0123456789ab", "2026-11-21"
    file = {"sha256": "0" * 64, "bytes": 1}
    said = {
        "made_by": "magpie_hub",
        "version": "0.1.0",
        "method": 1,
        "name": name,
        "tag": tag,
        "edition": "1.0",
        "rows": rows,
        "seed": 42,
        "recipe_fingerprint": "0123456789abcdef",
        "model": {"name": "a/model", "revision": "r1", "license": None},
        "judges": {},
        "chat": {"pre_query": {"text": "<user>", "ids": [1]}},
        "columns": arrow_schema(turns).names,
        "sessions": [],
        "versions": {},
        "funnel": funnel,
        "pictures": [],
        "changelog": [
            {"tag": tag, "date": day, "edition": "1.0", "tick": None, "rows": rows, "text": ""}
        ],
        "increments": [
            {
                "tick": None,
                "tag": tag,
                "date": day,
                "first_row": 0,
                "end_row": rows,
                "rows": rows,
                "funnel": funnel,
                "revision": "r1",
                "draws": "0123456789abcdef",
                "files": list(SHARDS),
            }
        ],
        "files": {
            **dict.fromkeys(FILES, file),
            **{key: {**file, "rows": rows, "content_bytes": 1} for key in SHARDS},
        },
    }
    return json.dumps({**said, **changes}).encode()
