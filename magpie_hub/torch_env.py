"""What has to be set before torch and vLLM are loaded, in one place.

torch reads its part once, when its libraries are loaded. So everything here that is about to import
torch, transformers or vLLM calls `prepare` first, and so does whoever opens a door to it.
"""

from __future__ import annotations

import os

from magpie_hub.paths import find_home

SETTINGS = {
    # Threads that wait for each other spin for microseconds, then sleep. Spinning without a bound
    # (the default) is many times slower as soon as another program wants a core; never spinning
    # costs a third of the speed on an idle machine (the small model, 32 slots, two cores: 600
    # tokens a second never, 830 with this count; beside a busy program 445 and 325).
    "GOMP_SPINCOUNT": "2000",
    # torch's C++ side prints its warnings on stderr, past every logging setting.
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    # vLLM gives a grammar 5 seconds to be compiled, against hostile ones. Ours are the judges' own;
    # that of the tags takes longer on a slow or busy machine, and would end the run.
    "VLLM_REGEX_COMPILATION_TIMEOUT_S": "120",
}


def prepare() -> None:
    """Sets them, where the person has not. Calling it again is harmless."""
    find_home()
    for name, value in SETTINGS.items():
        if name == "GOMP_SPINCOUNT" and "OMP_WAIT_POLICY" in os.environ:
            continue  # The person's own policy would lose against a count.
        os.environ.setdefault(name, value)
