"""Spoilt documents: a good one with one thing wrong, as hypothesis strategies."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]


def deep(levels: int = 200) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


JUNK = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        2**63,
        10**400,
        1.5,
        -0.0,
        float("nan"),
        float("inf"),
        "",
        "x",
        "/etc/passwd",
        "../../x",
        "data/default/../../x",
        "C:\\x",
        "a\0b",
        "\ud800",
        "\u202e\x1b[31m\nline",
        "ſ" * 300,
        "0" * 64,
        "A" * 64,
        [],
        [None],
        [[]],
        ["x", 1],
        {},
        {"x": None},
        {"": {}},
        deep(20),
        deep(),
    ]
)


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where every part of a document is."""
    if path:
        yield path
    items = enumerate(value) if isinstance(value, list) else ()
    for key, part in value.items() if isinstance(value, dict) else items:
        yield from places(part, (*path, key))


@st.composite
def spoilt(draw: st.DrawFn, good: Any) -> bytes:
    """A document's bytes, with one or two things wrong."""
    found = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 2))):
        every = list(places(found))
        if not every:
            break
        *above, key = draw(st.sampled_from(every))
        parent: Any = found
        for step in above:
            parent = parent[step]
        how = draw(st.sampled_from(["put", "put", "put", "drop", "rename", "again"]))
        if how == "put":
            parent[key] = copy.deepcopy(draw(JUNK))  # it may be changed in its turn
        elif how == "drop":
            del parent[key]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[int(key)]))
        elif how == "rename":
            parent[draw(st.sampled_from(["../x", "/x", "X", "", "a\\b", "\n", "\ud800"]))] = (
                parent.pop(key)
            )
        else:
            parent[str(key).upper()] = parent[key]
    return as_bytes(found)


def as_bytes(document: Any) -> bytes:
    return json.dumps(document).encode()


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """A file's bytes, cut, or with a few of them other than they were."""
    if draw(st.booleans()):
        return good[: draw(st.integers(0, len(good) - 1))]
    content = bytearray(good)
    for _ in range(draw(st.integers(1, 8))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)
