"""The demo: a real small model, on this machine's CPU, from nothing to a release folder.

    make demo

Generates 24 two-turn conversations with variant `smol-mt` (8 where vLLM cannot run), then shows the
funnel, two conversations, and where the card is.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path


def show(turns: list[dict[str, str]]) -> None:
    """Prints a conversation, long words cut."""
    for message in turns:
        text = textwrap.shorten(message["content"], 300, placeholder=" …")
        lines = textwrap.wrap(text, 88) or [""]
        print(f"  {message['role']:>9}  {lines[0]}")
        for line in lines[1:]:
            print(f"  {'':>9}  {line}")
    print()


def main() -> int:
    """Runs the demo; returns an exit status."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    rows = 24
    if importlib.util.find_spec("vllm") is None:
        rows = 8
        print("vLLM is not installed here: the transformers engine makes 8 rows instead of 24")
    command = ["build", "smol-mt", "--rows", str(rows), "--out", str(out), "--enforce-eager"]
    built = subprocess.run([sys.executable, "-m", "magpie_hub", *command], check=False)
    if built.returncode:
        return built.returncode

    import datasets

    datasets.disable_progress_bars()
    rows_of = datasets.load_dataset(str(out), split="train")
    print(f"\nload_dataset({str(out)!r}) gives {len(rows_of)} rows; two of them:\n")
    for index in (0, len(rows_of) // 2):
        show(rows_of[index]["messages"])
    print(f"the card: {out / 'README.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
