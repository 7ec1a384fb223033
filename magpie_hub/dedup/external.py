"""Sets that are published already: their instructions, which a new set is not to repeat.

A set is named by its folder or its Hub id, a revision may follow after "@". Whatever the Magpie
family has called the first user turn is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from magpie_hub.errors import UserError, one_line

COLUMNS = ("instruction", "input", "input1")
"""Names of the first user turn in published Magpie sets; else it is the conversation's first."""


def read_instructions(name: str) -> Iterator[tuple[str, str]]:
    """Yields (uuid, first instruction) of every row, in the set's order.

    Args:
        name: A folder that `load_dataset` takes, or "owner/name", or "owner/name@revision".

    Raises:
        UserError: There is no such set, or none of its columns holds instructions.
    """
    import datasets

    path, _, revision = name.partition("@")
    if name.startswith((".", "/", "~")):
        path, revision = str(Path(name).expanduser()), ""
        if not Path(path).is_dir():
            raise UserError(f"{name}: no such folder")
    try:
        rows = datasets.load_dataset(path, revision=revision or None, split="train")
    except Exception as error:  # the library raises whatever its readers do
        raise UserError(f"{name} does not load: {one_line(error)}") from error
    column = next((known for known in COLUMNS if known in rows.column_names), None)
    talk = next((known for known in ("messages", "conversations") if known in rows.features), None)
    if column is None and talk is None:
        raise UserError(
            f"{name} has no column of instructions "
            f"({', '.join(COLUMNS)}, messages or conversations)"
        )
    wanted = [known for known in ("uuid", column or talk) if known in rows.column_names]
    for place, row in enumerate(rows.select_columns(wanted)):
        text = row[column] if column else _first(row[talk])
        yield str(row.get("uuid") or f"{name}#{place}"), text if isinstance(text, str) else ""


def _first(turns: Any) -> str:
    for turn in turns if isinstance(turns, list) else ():
        if isinstance(turn, dict) and turn.get("role", turn.get("from")) in ("user", "human"):
            return str(turn.get("content", turn.get("value", "")))
    return ""
