"""What has to be set before torch is loaded, in one place.

torch reads these once, when its libraries are loaded. So everything here that is about to import
torch, transformers or vLLM calls `prepare` first, and so does whoever opens a door to it.
"""

from __future__ import annotations

import os

SETTINGS = {
    # Threads that wait for each other sleep instead of spinning. Spinning is marginally faster on
    # an idle machine, and many times slower on one where another program wants a core too.
    "OMP_WAIT_POLICY": "PASSIVE",
    # torch's C++ side prints its warnings on stderr, past every logging setting.
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


def prepare() -> None:
    """Sets them, where the person has not. Calling it again is harmless."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
