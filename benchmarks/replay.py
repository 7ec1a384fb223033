"""Scheduling of a hundred thousand rows: recorded lengths, replayed with a GPU's step costs.

    .venv/bin/python benchmarks/replay.py [--rows 100000] [--recordings DIR] [--delay 1] [--seed 0]

Replays one drawing of the recorded rows (`benchmarks/recordings`, written by
`benchmarks/generate.py --record`) in every shape of `benchmarks/replay_shapes.py`: ours beside the
official loop, distilabel and what no schedule beats. A decode step costs what 64, 128 or 256
running sequences cost, before any runs, and one more for each that does. Why that much: an 8B model
in bf16 on an H100 reads 16 GB of weights a step, 4.8 ms at 3.35 TB/s; a sequence reads its keys and
values (600 tokens of 131 KB: 24 us) and computes 16 GFLOP (23 us at 700 TFLOP/s), so a step's
constant is 100 to 200 sequences. A prompt token is computed and reads little, so it costs half a
sequence-step; the tables leave prompts out, since every shape has the same, and one line shows what
they change if nothing at all is cached. Our callers hear of a request's end `--delay` steps late,
as from a real engine; for the other shapes an answer takes no time.

A million rows (`--rows 1000000`) take a quarter of an hour and 1 GB. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import replay_shapes as shapes
from benchmarks.replay_rows import TEMPLATE, Recording, Rows
from benchmarks.replay_shapes import Cost

SLOTS = (256, 512, 1024, 2048)
CONSTANTS = (64, 128, 256)
PREFILL = 0.5
CAPS = (1.0, 1.05, 1.125, 1.5, 2.0)
DELAYS = (0, 1, 4)
RECORDINGS = ("smol", "smol-mt")
USUAL_SLOTS, USUAL_CONSTANT = 512, 128
"""Where one setting stands for all."""


def compare(rows: Rows, slots: int, delay: int) -> dict[str, Any]:
    """Every shape over the same rows."""
    mine = shapes.ours(rows, slots, delay=delay)
    costs: dict[str, Cost] = {
        "ours": mine,
        "bound": shapes.bound(rows, slots),
        "at_once": shapes.at_once(rows, slots),
        "staged": shapes.staged(rows, slots),
        "official": shapes.official(rows, slots),
        "distilabel": shapes.distilabel(rows, slots),
    }
    if rows.steps.shape[1] == 2:
        costs["distilabel_two_steps"] = shapes.two_steps(rows, slots)
    return {
        "shapes": {
            name: {
                "steps": round(cost.steps),
                "occupancy": round(cost.busy / cost.steps / slots, 4),
            }
            for name, cost in costs.items()
        },
        "ours": {key: _short(value) for key, value in asdict(mine).items()},
        "over_ours": {constant: _over(costs, "ours", constant) for constant in CONSTANTS},
        "over_bound": {constant: _over(costs, "bound", constant) for constant in CONSTANTS},
        "over_ours_prompts_not_cached": _over(costs, "ours", USUAL_CONSTANT, PREFILL),
    }


def _over(
    costs: dict[str, Cost], base: str, constant: float, prefill: float = 0.0
) -> dict[str, float]:
    """Times of all shapes over one's."""
    time_of_base = costs[base].time(constant, prefill)
    return {
        name: round(cost.time(constant, prefill) / time_of_base, 4) for name, cost in costs.items()
    }


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def caps(recording: Recording, count: int, seed: int) -> list[dict[str, Any]]:
    """What the cap on rows in flight is worth, by the steps that an answer takes.

    `grow` allows an eighth more rows than the engine says it has slots, so an engine that says
    another number moves the cap and nothing else.
    """
    rows = Rows.drawn(recording, count, seed)
    limit = shapes.bound(rows, USUAL_SLOTS).time(USUAL_CONSTANT)
    found = []
    for cap in CAPS:
        told = round(cap * USUAL_SLOTS / 1.125)
        runs = [shapes.ours(rows, USUAL_SLOTS, told=told, delay=delay) for delay in DELAYS]
        found.append(
            {
                "cap": cap,
                "most_in_flight": runs[0].most_in_flight,
                "over_bound": {
                    delay: round(run.time(USUAL_CONSTANT) / limit, 4)
                    for delay, run in zip(DELAYS, runs, strict=True)
                },
                "occupancy_until_tail": {
                    delay: _short(run.occupancy_until_tail)
                    for delay, run in zip(DELAYS, runs, strict=True)
                },
            }
        )
    return found


def agreement(recording: Recording, delay: int) -> dict[str, Any]:
    """Steps replayed with the recorded rows and slots, beside the steps that were recorded."""
    rows = Rows.recorded(recording)
    pairs = {
        "ours": (recording.steps, shapes.ours(rows, recording.slots, delay=delay)),
        "limit": (recording.limit_steps, shapes.at_once(rows, recording.slots)),
    }
    return {
        name: {
            "recorded": recorded,
            "replayed": round(cost.steps),
            "replayed_over_recorded": round(cost.steps / recorded, 4),
        }
        for name, (recorded, cost) in pairs.items()
    }


def measure(recording: Recording, count: int, delay: int, seed: int) -> dict[str, Any]:
    """Everything about one recording."""
    rows = Rows.drawn(recording, count, seed)
    slots = {}
    for number in SLOTS:
        begun = time.process_time()
        slots[number] = compare(rows, number, delay)
        slots[number]["cpu_seconds"] = round(time.process_time() - begun, 2)
        print(recording.name, number, slots[number], file=sys.stderr, flush=True)
    fewer = {}
    for part in (count // 100, count // 10):
        some = Rows.drawn(recording, part, seed)
        fewer[part] = compare(some, USUAL_SLOTS, delay)["over_bound"][USUAL_CONSTANT]["ours"]
    flat = [tokens for row in recording.rows for tokens in row]
    return {
        "name": recording.name,
        "model": recording.model,
        "engine": recording.engine,
        "turns": recording.turns,
        "recorded_slots": recording.slots,
        "recorded_rows": len(recording.rows),
        "mean_tokens": round(sum(flat) / len(flat), 1),
        "most_tokens": max(flat),
        "rows": rows.count,
        "rows_that_pass": rows.wanted,
        "requests": int((rows.steps > 0).sum()),
        "slot_steps": int(rows.steps.sum()),
        "agreement": agreement(recording, delay),
        "slots": slots,
        "ours_over_bound_of_fewer_rows": fewer,
        "caps": caps(recording, count // 10, seed),
    }


def section(found: dict[str, Any]) -> str:
    """Its part of the report."""
    parts = "\n".join(_part(part, found) for part in found["recordings"])
    return f"""## Scheduling, replayed

`benchmarks/replay.py --rows {found["rows"]}`: recorded lengths of a real run, drawn row by row with
replacement, in every shape of scheduling over the very same rows. Slots are simulated; a decode
step costs what {", ".join(map(str, CONSTANTS[:-1]))} or {CONSTANTS[-1]} running sequences cost, and
one more for each that runs; our callers hear of a request's end {found["delay"]} step late. Ours is
the code that runs everywhere else, driving rollouts that only wait. The bound is full slots from
the first step to the last; *staged* knows all requests of a stage in advance. Official:
{found["batch"]["official"]} prompts a call, drained, stage after stage. distilabel: batches of
{found["batch"]["distilabel"]} rows, drained, stage after stage; *two steps*: both stages side by
side on one engine, the best that its pipeline could do. Loading, files and calls cost them nothing
here, and every shape has our gates, so none pays for a response that we do not.

{parts}"""


def _part(part: dict[str, Any], found: dict[str, Any]) -> str:
    two = part["turns"] == 1
    lines = []
    for slots, run in part["slots"].items():
        for constant, over in run["over_ours"].items():
            cells = [over["official"], over["distilabel"]]
            cells += [over["distilabel_two_steps"]] if two else []
            of_bound = run["over_bound"][constant]
            lines.append(
                f"| {slots} | {constant} | {of_bound['ours']:.3f} | {of_bound['staged']:.3f} | "
                + " | ".join(f"{cell:.2f}" for cell in cells)
                + f" | {run['shapes']['ours']['occupancy']:.1%}, "
                f"{_share(run['ours']['occupancy_until_tail'])} | "
                f"{run['shapes']['official']['occupancy']:.1%} | "
                f"{run['shapes']['distilabel']['occupancy']:.1%} |"
            )
    extra, rule = (" distilabel, two steps |", "---|") if two else ("", "")
    usual = _at(part["slots"], USUAL_SLOTS)
    cold = usual["over_ours_prompts_not_cached"]
    fewer = ", ".join(
        f"{over - 1:.1%} with {int(count):,} rows"
        for count, over in part["ours_over_bound_of_fewer_rows"].items()
    )
    agreed = part["agreement"]
    caps_table = "\n".join(
        f"| {cap['cap']} | {cap['most_in_flight']} | "
        + " | ".join(f"{over:.3f}" for over in cap["over_bound"].values())
        + " |"
        for cap in part["caps"]
    )
    return f"""### {part["turns"]} {"turn" if part["turns"] == 1 else "turns"}

{part["rows"]:,} rows, {part["requests"]:,} requests, from {part["recorded_rows"]} rows that
{part["model"]} wrote in {part["engine"]} ({part["mean_tokens"]} tokens a request,
{part["most_tokens"]} at most); {part["rows_that_pass"] / part["rows"]:.1%} of the rows pass.

| slots | a step's constant | ours over the bound | staged over the bound | official over ours | \
distilabel over ours |{extra} our occupancy, until the tail | official's | distilabel's |
|---|---|---|---|---|---|{rule}---|---|---|
{chr(10).join(lines)}

{_targets(usual)}
Of our busy slot-steps {usual["ours"]["surplus"] / usual["ours"]["busy"]:.2%} went into rows that
turned out not to be needed; they count as ours, and stay in the journal. With every prompt
computed and nothing cached, at {PREFILL} of a sequence-step a token, {USUAL_SLOTS} slots and a
constant of {USUAL_CONSTANT}: official {cold["official"]:.2f}, distilabel {cold["distilabel"]:.2f}
times ours. The end of a run weighs more in a smaller one: ours is over the bound by {fewer}.

The replay beside the real engine, with the recorded rows at their {part["recorded_slots"]} slots: \
ours {agreed["ours"]["replayed"]:,} steps, recorded {agreed["ours"]["recorded"]:,} \
({agreed["ours"]["replayed_over_recorded"]:.3f}); all at once {agreed["limit"]["replayed"]:,}, \
recorded {agreed["limit"]["recorded"]:,} ({agreed["limit"]["replayed_over_recorded"]:.3f}).

Ours over the bound at {USUAL_SLOTS} slots by the cap on rows in flight, and by the steps that an
answer takes ({found["rows"] // 10:,} rows):

| cap over slots | most in flight | {" | ".join(f"{delay} steps" for delay in DELAYS)} |
|---|---|{"---|" * len(DELAYS)}
{caps_table}
"""


def _share(value: float | None) -> str:
    """A share; a dash where the whole run is tail."""
    return "-" if value is None else f"{value:.2%}"


def _at(table: dict[Any, Any], key: int) -> Any:
    """An entry whose key is a number, or its name once it has been through JSON."""
    return table[key] if key in table else table[str(key)]


def _targets(usual: dict[str, Any]) -> str:
    """Which targets are met at the usual number of slots, over all constants."""
    official = [over["official"] for over in usual["over_ours"].values()]
    distilabel = [over["distilabel"] for over in usual["over_ours"].values()]
    over = max(over["ours"] for over in usual["over_bound"].values())
    return (
        f"At {USUAL_SLOTS} slots, over all constants: official {min(official):.2f} to "
        f"{max(official):.2f} times ours (target 1.4 to 2.3: {_met(min(official) >= 1.4)}), "
        f"distilabel {min(distilabel):.2f} to {max(distilabel):.2f} (target 3: "
        f"{_met(min(distilabel) >= 3)}), ours {over - 1:.1%} over the bound at most (target 3%: "
        f"{_met(over <= 1.03)})."
    )


def _met(met: bool) -> str:
    return "met" if met else "missed"


def main() -> None:
    """Replays and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument(
        "--recordings", type=Path, default=Path(__file__).resolve().parent / "recordings"
    )
    parser.add_argument("--delay", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    recordings = [Recording.read(chosen.recordings / f"{name}.json") for name in RECORDINGS]
    result = {
        "rows": chosen.rows,
        "delay": chosen.delay,
        "seed": chosen.seed,
        "batch": {"official": shapes.OFFICIAL, "distilabel": shapes.DISTILABEL},
        "template": TEMPLATE,
        "prefill": PREFILL,
        "recordings": [
            measure(recording, chosen.rows, chosen.delay, chosen.seed) for recording in recordings
        ],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
