"""Commands that are printed for a person: quoted, so that they work as they stand."""

from __future__ import annotations

import shlex
from pathlib import Path


def command(verb: str, *words: str | Path) -> str:
    """A command of ours as it is typed into a shell.

    Args:
        verb: Of `magpie-hub`.
        words: What follows it; a path that begins with a dash is kept from being an option.

    Example:
        >>> command("scan", Path("my set"))
        "magpie-hub scan 'my set'"
    """
    said = [
        f"./{word}" if isinstance(word, Path) and str(word)[0] == "-" else word for word in words
    ]
    return shlex.join(["magpie-hub", verb, *map(str, said)])
