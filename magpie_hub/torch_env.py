"""Environment variables that torch and its neighbours read, set around their start alone.

torch reads its part once, when its libraries are loaded. Code that is about to import torch,
transformers or vLLM calls `import_torch` first. The caller's environment is left as it was.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping

from magpie_hub.paths import missing_identity

SETTINGS = {
    # Threads that wait for each other spin for microseconds, then sleep. Spinning without a bound
    # (the default) is many times slower as soon as another program wants a core; never spinning
    # costs a third of the speed on an idle machine (the small model, 32 slots, two cores: 600
    # tokens a second never, 830 with this count; beside a busy program 445 and 325).
    "GOMP_SPINCOUNT": "2000",
    # torch's C++ side prints its warnings on stderr and ignores Python's logging settings.
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


def torch_settings() -> dict[str, str]:
    """Returns the variables that torch should see when it is loaded, here or in a new process."""
    wanted = SETTINGS | missing_identity()
    if "OMP_WAIT_POLICY" in os.environ:
        del wanted["GOMP_SPINCOUNT"]  # The user's own policy would lose against a count.
    return wanted


def import_torch() -> None:
    """Imports torch with its settings. Calling it again is harmless and free."""
    if "torch" not in sys.modules:
        with environment(torch_settings()), contextlib.suppress(ImportError):
            import torch  # noqa: F401


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Around imports of libraries that set variables for themselves: they are put back after it.

    scikit-learn, which transformers imports, sets those of OpenMP; torch's compiler its cache.
    """
    with environment({}, clean=("KMP_", "TORCHINDUCTOR_")):
        yield


@contextlib.contextmanager
def environment(
    defaults: Mapping[str, str],
    forced: Mapping[str, str] | None = None,
    *,
    clean: tuple[str, ...] = (),
) -> Iterator[None]:
    """Sets environment variables and puts them back.

    Args:
        defaults: Set only where the user has not.
        forced: Set in any case.
        clean: Prefixes of other variables that are put back too, since a library changes them.
    """
    changes = {name: value for name, value in defaults.items() if name not in os.environ}
    changes |= forced or {}
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in {*before, *os.environ}:
            if (name in changes or name.startswith(clean)) and name in before:
                os.environ[name] = before[name]
            elif name in changes or name.startswith(clean):
                del os.environ[name]
