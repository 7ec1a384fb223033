"""A gate's code in 16 digits, comments, docstrings and layout aside.

Written down in `versions.json`, beside the gate's version. After a change: raise the version of the
gates that are named, then run ``python -m tests.gates.versions``.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
from pathlib import Path
from typing import Any

from magpie_hub.gates.registry import GATES

TABLE = Path(__file__).with_name("versions.json")
HELPERS = ("magpie_hub.gates.", "magpie_hub.models.langid")
"""Modules of these names are part of a gate that imports them."""

CONTRACT = ("magpie_hub.gates.base",)
"""What a gate is, and how its parameters are checked: nothing of what it says of a text."""


def now() -> dict[str, list[Any]]:
    """Name to version and code, of the gates as they are."""
    return {
        name: [gate.version, code(inspect.getsource(gate_module(gate)), set())]
        for name, gate in GATES.items()
    }


def gate_module(gate: type) -> Any:
    """The module of a gate."""
    return inspect.getmodule(gate)


def code(source: str, seen: set[str]) -> str:
    """The digits of a module's source and of its helpers'."""
    tree = ast.parse(source)
    parts = [_plain(tree)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module not in seen:
            if node.module in CONTRACT or not node.module.startswith(HELPERS):
                continue
            seen.add(node.module)
            spec = importlib.util.find_spec(node.module)
            assert spec is not None
            assert spec.origin is not None
            parts.append(code(Path(spec.origin).read_text("utf-8"), seen))
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _plain(node: Any) -> Any:
    """A tree without places, empty fields and docstrings, so that Python's version is no matter."""
    if isinstance(node, list):
        return [_plain(one) for one in node if not _is_words(one)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((key, value) for key, value in ast.iter_fields(node) if value not in (None, []))
    return [type(node).__name__, *((key, _plain(value)) for key, value in fields if key != "kind")]


def _is_words(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def write() -> None:
    """Writes the table."""
    lines = (f"  {json.dumps(name)}: {json.dumps(said)}" for name, said in now().items())
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write()
