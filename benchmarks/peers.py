"""From a cold start to the same number of kept rows: the official way, as people run it, and ours.

    .venv/bin/python benchmarks/peers.py [--rows 8] [--slots 8] [--batch 200] [--repeats 1]
        [--instruct-tokens 48] [--respond-tokens 96] [--tag-tokens 77] [--quality good]

The official way is a process a stage, each with an engine load of its own and JSON files of text in
between: instructions (`--batch` a call, drained; stripped), responses (the text tokenised again
through the chat template), then the tagger's three passes over every row, each asking for free text
that explains before it labels (the prompts of `benchmarks/tags.py`), then the filter. Ours is one
command, `magpie-hub build`, with a recipe like `air-eco`: the generator tags an instruction in a
constrained call before its response is paid for. It ends with a whole release, card and pictures
included; theirs ends with a JSON file.

What both share: model, engine (vLLM by its own start, eager, the same slots and options), plan and
seeds, sampling with its loop detection, stop ids (the official stop strings would cut instructions
at the first line break), token limits. Reward, guard, language and neighbours are left out on both
sides. A pass has at most 77 tokens, a third of the 230 that the three decode a row of an 8B tagger
(estimated from the official repository's example rows): so small a model would run on to the
official limit of 1,024.

Who is kept: ours keeps what its gates pass and its tags call `--quality` or better, and plans as
many rows as that takes. So small a model's free-text labels can hardly be read, so the official
filter cannot decide by them: it has as many rows instructed, answered and tagged as ours planned,
and keeps as many as ours kept, those with the longest responses (the last rule of the paper's
filters). Both keep the same share, then, and differ in what they pay for the others. Ours pays as
well for the few rows that were in flight when the last one that it needed was finished; they stay
in its journal for a larger set. With as few rows as here that weighs more than in a real set.

Seconds are of the wall clock, from the start of the first process to the end of the last; the
model's files lie on the disk already. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measured import median, middle
from benchmarks.official_stage import STAGES, read, write

HERE = Path(__file__).resolve()
STAGE = HERE.with_name("official_stage.py")
LEAST_FASTER = 2.0
LEAST_FEWER = 1.3

RECIPE = """\
name: smol-eco
description: The small model in the manner of air-eco.
rows: {rows}
seed: {seed}
model: {model}
max_num_seqs: {slots}
enforce_eager: true
min_yield: 0
instruct:
  grid: {{rows: 1, points: [{{temperature: 1.0, rows: 1}}]}}
  max_tokens: {instruct_tokens}
respond: {{temperature: 0.7, max_tokens: {respond_tokens}}}
gates:
  # Limits this low would reject what a real run keeps.
  rules: {{cut_off: false}}
judges:
  tags: {{before_responding: true}}
selection: {{min_quality: {quality}}}
card: {{license: apache-2.0, language: [en]}}
"""


class Ended(NamedTuple):
    """A process that has ended.

    Attributes:
        stdout: What it printed.
        seconds: By the wall clock, from its start.
        cpu_seconds: Of all its threads and children.
    """

    stdout: str
    seconds: float
    cpu_seconds: float


def command(arguments: Sequence[str], environment: dict[str, str] | None = None) -> Ended:
    """Runs a process to its end; what it says to a person goes to one."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, cwd=HERE.parents[1], env=environment, text=True
    )
    assert process.stdout is not None
    with process.stdout as stdout:
        said = stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return Ended(said, time.perf_counter() - begun, usage.ru_utime + usage.ru_stime)


def ours(folder: Path) -> dict[str, Any]:
    """One command, from nothing to a release."""
    from magpie_hub.paths import home as lasting

    home = folder / "home"
    home.mkdir()
    # Rows are generated again; the model's files are there, as for the other side.
    (home / "models").symlink_to(lasting() / "models")
    build = ["-m", "magpie_hub", "build", str(folder / "recipe.yaml"), "--json"]
    ended = command(
        [sys.executable, *build, "--out", str(folder / "release")],
        # The user's own settings must not change this run.
        {k: v for k, v in os.environ.items() if not k.startswith("MAGPIE_")}
        | {"MAGPIE_HOME": str(home)},
    )
    found = json.loads(ended.stdout.splitlines()[-1])
    stats = read(folder / "release" / "stats.json")
    costs = stats["spent"]
    generating = sum(cost["seconds"] for cost in costs)
    return {
        "planned": found["funnel"]["planned"],
        "kept": found["rows"],
        "rejected": found["funnel"]["rejected"],
        "seconds": ended.seconds,
        "cpu_seconds": ended.cpu_seconds,
        "stages": {
            "engine, rows and tags": {"seconds": generating},
            "start, delivery and release": {"seconds": ended.seconds - generating},
        },
        "decoded_tokens": sum(cost["decoded_tokens"] for cost in costs),
        "prompt_tokens_computed": sum(
            cost["prompt_tokens"] - cost["cached_tokens"] for cost in costs
        ),
    }


def official(folder: Path, planned: int, kept: int) -> dict[str, Any]:
    """A process a stage."""
    asked = read(folder / "asked.json")
    write(folder / "asked.json", asked | {"planned": planned, "kept": kept})
    stages: dict[str, Any] = {}
    for name in STAGES:
        ended = command([sys.executable, str(STAGE), name, str(folder)])
        stages[name] = {
            "seconds": ended.seconds,
            "cpu_seconds": ended.cpu_seconds,
            **json.loads(ended.stdout.splitlines()[-1]),
        }
        print(f"official {name}: {stages[name]}", file=sys.stderr, flush=True)
    return {
        "planned": planned,
        "kept": len(read(folder / "filter.json")),
        **{
            key: sum(stage.get(key, 0) for stage in stages.values())
            for key in ("seconds", "cpu_seconds", "decoded_tokens", "prompt_tokens_computed")
        },
        "stages": stages,
    }


def compare(asked: argparse.Namespace) -> dict[str, Any]:
    """Both ways, in turn."""
    from magpie_hub.models.source import fetch, pin
    from magpie_hub.paths import home

    model = "HuggingFaceTB/SmolLM2-135M-Instruct"
    fetch(pin(model), home())
    runs: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for repeat in range(asked.repeats):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            text = RECIPE.format(model=model, seed=asked.seed + repeat, **settings(asked))
            (folder / "recipe.yaml").write_text(text, encoding="utf-8")
            write(folder / "asked.json", {"batch": asked.batch, "tag_tokens": asked.tag_tokens})
            mine = ours(folder)
            print(f"ours: {mine}", file=sys.stderr, flush=True)
            runs.append((mine, official(folder, mine["planned"], mine["kept"])))
    mine, theirs = [middle(side) for side in zip(*runs, strict=True)]
    over = {
        figure: median([official[figure] / own[figure] for own, official in runs])
        for figure in ("seconds", "cpu_seconds", "decoded_tokens", "prompt_tokens_computed")
    }
    return {
        "model": model,
        **settings(asked),
        "seed": asked.seed,
        "batch": asked.batch,
        "repeats": asked.repeats,
        "tag_tokens": asked.tag_tokens,
        "ours": mine,
        "official": theirs,
        "official_over_ours": over,
        "targets": {
            f"at least {LEAST_FASTER} times faster": over["seconds"] >= LEAST_FASTER,
            f"at least {LEAST_FEWER} times fewer decoded tokens": over["decoded_tokens"]
            >= LEAST_FEWER,
        },
    }


def settings(asked: argparse.Namespace) -> dict[str, Any]:
    """What the recipe is made of."""
    names = ("rows", "slots", "instruct_tokens", "respond_tokens", "quality")
    return {name: getattr(asked, name) for name in names}


def section(found: dict[str, Any]) -> str:
    """This benchmark's part of the report."""
    mine, theirs, over = found["ours"], found["official"], found["official_over_ours"]
    kept = mine["kept"]
    stages = "\n".join(
        f"| {side}: {name} | {part['seconds']:.1f} | {part.get('loading_seconds', '')} "
        f"| {part.get('decoded_tokens', '')} |"
        for side, way in (("official", theirs), ("ours", mine))
        for name, part in way["stages"].items()
    )
    met = "; ".join(
        f"{name}: {'met' if so else 'not met'}" for name, so in found["targets"].items()
    )
    return f"""## From a cold start to a kept set

`benchmarks/peers.py`: {kept:g} rows
kept of {mine["planned"]:g} planned, {found["model"]}, {found["slots"]} slots, at most
{found["instruct_tokens"]} and {found["respond_tokens"]} tokens of instruction and response;
{found["repeats"]} runs of each in turn, medians. The official way is a process and an engine load a
stage, files of text in between, three free-text passes of tags (at most {found["tag_tokens"]}
tokens each) over every row, then the filter. Ours is one command that tags before it responds, and
ends with a release, card and pictures included. Both keep the same share of the rows.

| | official | ours | official over ours |
|---|---|---|---|
| seconds, start to finish | {theirs["seconds"]:.1f} | {mine["seconds"]:.1f} \
| **{over["seconds"]}** |
| CPU seconds | {theirs["cpu_seconds"]:.1f} | {mine["cpu_seconds"]:.1f} | {over["cpu_seconds"]} |
| decoded tokens a kept row | {theirs["decoded_tokens"] / kept:.1f} \
| {mine["decoded_tokens"] / kept:.1f} | **{over["decoded_tokens"]}** |
| prompt tokens computed a kept row | {theirs["prompt_tokens_computed"] / kept:.1f} \
| {mine["prompt_tokens_computed"] / kept:.1f} | {over["prompt_tokens_computed"]} |

| process or part | seconds | of these until the engine runs | decoded tokens |
|---|---|---|---|
{stages}

Targets: {met}.
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=8, help="Rows kept.")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--batch", type=int, default=200, help="Rows a call of the official loop.")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--instruct-tokens", type=int, default=48)
    parser.add_argument("--respond-tokens", type=int, default=96)
    parser.add_argument("--tag-tokens", type=int, default=77)
    parser.add_argument("--quality", default="good", help="The lowest tag that ours keeps.")
    print(json.dumps(compare(parser.parse_args())))


if __name__ == "__main__":
    main()
