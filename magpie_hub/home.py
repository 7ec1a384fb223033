"""Where generated rows live: one folder, MAGPIE_HOME.

Rows cost GPU-hours, so they are user *data*, not cache: the default is the platform's data folder
(``~/.local/share/magpie-hub`` on Linux), which no cache clean-up wipes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

VARIABLE = "MAGPIE_HOME"
ROOMS = frozenset({"journals", "logs", "models", "scans", "shelf", "ticks"})
"""Folders in it, which nothing else is written to."""


def home(environment: Mapping[str, str] | None = None) -> Path:
    """The folder named by MAGPIE_HOME, or the platform's data folder. It need not exist yet.

    Args:
        environment: Where to look; this process's environment by default.
    """
    named = (os.environ if environment is None else environment).get(VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return Path(platformdirs.user_data_dir("magpie-hub", appauthor=False))
