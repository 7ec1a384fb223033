"""The folder of generated rows, MAGPIE_HOME, and the folders below it.

Rows cost GPU-hours, so they are user *data*, not cache: the default is the platform's data folder
(``~/.local/share/magpie-hub`` on Linux), which no cache clean-up wipes.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from magpie_hub.errors import UserError

VARIABLE = "MAGPIE_HOME"
NAME = "magpie-hub"

# The folders below it; nothing else is written there.
JOURNALS = "journals"
"""Generated rows and their labels, a folder a fingerprint."""
LOGS = "logs"
"""What engines print while a command runs."""
MODELS = "models"
"""Models that came in a Python package, converted."""
SHARDS = "shards"
"""Columns and vectors of published shards; see `magpie_hub.store.shards`."""
TICKS = "ticks"
"""Locks of regenerations."""
FOLDERS = frozenset((JOURNALS, LOGS, MODELS, SHARDS, TICKS))


def home(environment: Mapping[str, str] | None = None) -> Path:
    """The folder named by MAGPIE_HOME, or the platform's data folder. It need not exist yet.

    Args:
        environment: Where to look; this process's environment by default.

    Raises:
        UserError: This user has no home folder, and MAGPIE_HOME is not set.
    """
    try:
        if named := (os.environ if environment is None else environment).get(VARIABLE):
            return Path(named).expanduser().absolute()
        found = Path(platformdirs.user_data_dir(NAME, appauthor=False))
    except RuntimeError:
        found = Path("~")
    if not found.is_absolute():
        raise UserError(
            "this user has no home folder (HOME is not set, and the system knows of none); set "
            "MAGPIE_HOME to a folder where generated rows are kept"
        )
    return found


def expand(path: str) -> Path:
    """A path with ``~`` replaced by the home folder, if there is one; else unchanged."""
    return Path(os.path.expanduser(path))


def missing_identity() -> dict[str, str]:
    """HOME and USER for a user without them; libraries need both.

    MAGPIE_HOME is used as the home folder; otherwise a library would create a folder "~".

    Returns:
        The environment variables to set; empty for most users.
    """
    missing = {}
    named = os.environ.get(VARIABLE)
    if named and not os.path.isabs(os.path.expanduser("~")):
        missing["HOME"] = os.path.abspath(named)
    try:
        getpass.getuser()
    except (KeyError, OSError):
        missing["USER"] = NAME
    return missing
