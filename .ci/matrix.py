"""Runs the builder's tests on older versions of `datasets`; the newest is what `make test` uses.

    .venv/bin/python .ci/matrix.py [VERSION …]

Each version is laid over the environment in a folder of its own, with the few packages that it
bounds from above.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BOUNDED = {
    "3.6.0": ("fsspec==2025.3.0", "dill==0.3.8", "multiprocess==0.70.16"),
    "4.0.0": ("fsspec==2025.3.0", "dill==0.3.8", "multiprocess==0.70.16"),
    "4.8.5": ("fsspec==2026.2.0", "dill==0.4.1", "multiprocess==0.70.19"),
}


def run(version: str) -> int:
    """Tests one version; returns an exit status."""
    folder = Path(sys.prefix) / f"datasets-{version}"
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
        subprocess.run([*pip, f"datasets=={version}", *BOUNDED[version]], check=True)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    show = "import datasets; print('datasets', datasets.__version__, flush=True)"
    subprocess.run([sys.executable, "-c", show], env=environment, check=True)
    tests = [sys.executable, "-m", "pytest", "tests/builder"]
    return subprocess.run(tests, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(max(run(version) for version in sys.argv[1:] or BOUNDED))
