"""Start-up: how long the user waits before the command prints anything.

    .venv/bin/python benchmarks/startup.py [--times 9]

`magpie-hub --help`, `magpie-hub variants` and `import magpie_hub`, each in a process of its own, in
turn, beside a bare interpreter and, for reference, `import datasets`; medians of wall and CPU time.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "magpie-hub --help": ("-m", "magpie_hub", "--help"),
    "magpie-hub variants": ("-m", "magpie_hub", "variants"),
    "import magpie_hub": ("-c", "import magpie_hub"),
    "import datasets": ("-c", "import datasets"),
    "python": ("-c", ""),
}
OURS = tuple(COMMANDS)[:3]


def start(arguments: tuple[str, ...]) -> tuple[float, float]:
    """Wall and CPU seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        check=True,
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def section(found: dict[str, Any]) -> str:
    """The report's part, as Markdown."""
    rows = "\n".join(
        f"| `{name}` | {took['seconds']} | {took['least']} | {took['cpu_seconds']} |"
        for name, took in found["commands"].items()
    )
    slowest = max(found["commands"][name]["seconds"] for name in OURS)
    share = slowest / found["commands"]["import datasets"]["seconds"]
    return f"""## Start-up

`benchmarks/startup.py`: each in a
process of its own, {found["times"]} times in turn, medians; `import datasets` and an interpreter
that does nothing for reference.

| | seconds | least | CPU seconds |
|---|---|---|---|
{rows}

The slowest of ours takes {share:.2f} of what `import datasets` takes.
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=9)
    given = parser.parse_args()
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for arguments in COMMANDS.values():
        start(arguments)  # Once unmeasured: compiled modules are written, files come into memory.
    for time_number in range(given.times):
        for name, arguments in COMMANDS.items():
            took[name].append(start(arguments))
            print(time_number, name, took[name][-1], file=sys.stderr)
    commands = {
        name: {
            "seconds": round(statistics.median(wall for wall, _ in times), 3),
            "least": round(min(wall for wall, _ in times), 3),
            "cpu_seconds": round(statistics.median(cpu for _, cpu in times), 3),
        }
        for name, times in took.items()
    }
    print(json.dumps({"times": given.times, "commands": commands}))


if __name__ == "__main__":
    main()
