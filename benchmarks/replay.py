"""Scheduling of a hundred thousand rows: recorded lengths, replayed with a GPU's step costs.

    .venv/bin/python benchmarks/replay.py [--rows 100000] [--recordings DIR] [--delay 1] [--seed 0]

Replays one drawing of the recorded rows (`benchmarks/recordings`, written by
`benchmarks/generate.py --record`) in every shape of `benchmarks/replay_shapes.py`: ours beside the
official loop, distilabel and what no schedule beats; and rows as long as those that an 8B model is
known to have written. A decode step costs what 64, 128 or 256
running sequences cost, before any runs, and one more for each that does. Why that much: an 8B model
in bf16 on an H100 reads 16 GB of weights a step, 4.8 ms at 3.35 TB/s; a sequence reads its keys and
values (600 tokens of 131 KB: 24 us) and computes 16 GFLOP (23 us at 700 TFLOP/s), so a step's
constant is 100 to 200 sequences. A prompt token is computed and reads little, so it costs half a
sequence-step; the tables leave prompts out, since every shape has the same, and one line shows what
they change if nothing at all is cached. Our callers hear of a request's end `--delay` steps late,
as from a real engine; for the other shapes an answer takes no time.

Work grows with the rows: a million (`--rows 1000000`) take ten times as long. Prints one JSON
object.
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
from benchmarks.replay_report import section
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

__all__ = ["measure", "section"]


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
                "running": round(cost.busy / cost.steps, 1),
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

    `run_rollouts` allows an eighth more rows than the engine says it has slots, so an engine that
    says another number moves the cap and nothing else.
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


def agreement(recording: Recording, delay: int) -> dict[str, Any] | None:
    """Steps replayed with the recorded rows and slots, beside the steps that were recorded."""
    if recording.steps is None or recording.limit_steps is None:
        return None
    rows = Rows.recorded(recording)
    pairs = {
        "ours": (recording.steps, shapes.ours(rows, recording.slots, delay=delay)),
        "all at once": (recording.limit_steps, shapes.at_once(rows, recording.slots)),
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
        over = compare(Rows.drawn(recording, part, seed), USUAL_SLOTS, delay)["over_bound"]
        fewer[part] = {name: over[USUAL_CONSTANT][name] for name in ("ours", "staged")}
    flat = [tokens for row in recording.rows for tokens in row]
    at_limit = sum(
        tokens == recording.limits[place % 2]
        for row in recording.rows
        for place, tokens in enumerate(row)
    )
    return {
        "name": recording.name,
        "model": recording.model,
        "engine": recording.engine,
        "turns": recording.turns,
        "recorded_slots": recording.slots,
        "recorded_rows": len(recording.rows),
        "mean_tokens": round(sum(flat) / len(flat), 1),
        "most_tokens": max(flat),
        "at_the_limit": round(at_limit / len(flat), 4),
        "rows": rows.count,
        "rows_that_pass": rows.wanted,
        "requests": int((rows.steps > 0).sum()),
        "slot_steps": int(rows.steps.sum()),
        "agreement": agreement(recording, delay),
        "slots": slots,
        "over_bound_of_fewer_rows": fewer,
        "caps": caps(recording, count // 10, seed),
    }


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
    files = [chosen.recordings / f"{name}.json" for name in RECORDINGS]
    for file in files:
        if not file.exists():
            parser.error(f"{file} is not there: write it with benchmarks/generate.py --record")
    recordings = [Recording.read(file) for file in files]
    result = {
        "rows": chosen.rows,
        "delay": chosen.delay,
        "seed": chosen.seed,
        "batch": {"official": shapes.OFFICIAL, "distilabel": shapes.DISTILABEL},
        "template": TEMPLATE,
        "prefill": PREFILL,
        "constants": CONSTANTS,
        "usual": {"slots": USUAL_SLOTS, "constant": USUAL_CONSTANT},
        "recordings": [
            measure(recording, chosen.rows, chosen.delay, chosen.seed)
            for recording in (*recordings, Recording.published())
        ],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
