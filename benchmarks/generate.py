"""Generating beside what people use today: one engine object, the same rows, four shapes.

    .venv/bin/python benchmarks/generate.py [--turns 3] [--rows 48] [--slots 12] [--repeats 2]
        [--peer-rows 18] [--batch 9] [--instruct-tokens 64] [--respond-tokens 96]
        [--compiled | --eager] [--beside limit,official,distilabel] [--record PATH]

Ours (rollouts, gates and journal), the engine's own limit, the official loop (n = 200 a call,
drain, all instructions before all responses) and the shape of distilabel (50 a call, drain, two
stages a batch); `benchmarks/shapes.py` says what each does. A call of 200 is measured against the
256 slots that vLLM has by default: with fewer slots here the peers' calls shrink in that
proportion, unless `--batch` names the official one's (distilabel's is a quarter of it). The
variants `smol` and `smol-mt`, with lower token limits so that a run is short, and with the gate of
words cut off at a limit off, since limits this low would reject what a real run keeps.

Runs of ours and of the limit are interleaved, a seed a repeat; the peers follow in the first
repeat, over its first `--peer-rows` rows: their calls are all alike, and so far from the rest that
more of them would say nothing new. Figures are medians. Occupancy is busy slots over slots in
each decode step: over the whole run, and for ours until the last slots' worth of rows begins, which
is when fewer rows than slots are in flight for the first time. CPU seconds outside the engine are
those of the thread that everything but vLLM runs on. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measured import Made, Run, Watched, measure, median, middle
from benchmarks.shapes import Job, distilabel, limit, official, ours, places
from magpie_hub.engines.base import Engine, Sampling
from magpie_hub.engines.factory import start_engine
from magpie_hub.gates.registry import build_gates
from magpie_hub.generate.generator import engine_options, load_chat
from magpie_hub.generate.plan import Plan
from magpie_hub.models.source import pin
from magpie_hub.paths import home
from magpie_hub.pipeline.run import open_recipe
from magpie_hub.recipe.config import Recipe

SETTINGS = {
    "rows": "Rows wanted",
    "slots": "Sequences decoded at once",
    "repeats": "Runs of ours and of the limit",
    "peer_rows": "Rows of the peers",
    "instruct_tokens": "Most tokens of an instruction",
    "respond_tokens": "Most tokens of a response",
}
USUAL = {
    1: dict(zip(SETTINGS, (48, 12, 2, 18, 64, 96), strict=True)),
    2: dict(zip(SETTINGS, (16, 8, 1, 6, 40, 64), strict=True)),
}
"""What a run of one turn, and one of more, is made with: under ten minutes on two slow cores."""

BESIDE = ("limit", "official", "distilabel")
MOST_OVER_LIMIT = 1.03
LEAST_OCCUPANCY = 0.97
MOST_COMPUTED = 0.40


class Asked(NamedTuple):
    """What a run is made with."""

    turns: int
    rows: int
    slots: int
    repeats: int
    peer_rows: int
    batch: int
    instruct_tokens: int
    respond_tokens: int
    eager: bool
    beside: tuple[str, ...]

    @property
    def small_batch(self) -> int:
        """Rows of a call of distilabel: 50 where the official loop has 200."""
        return max(1, round(self.batch / 4))

    def recipe(self) -> Recipe:
        """The small variant, with these limits."""
        name = "smol" if self.turns == 1 else "smol-mt"
        overrides = {
            "rows": self.rows,
            "turns": self.turns,
            "max_num_seqs": self.slots,
            "enforce_eager": self.eager,
        }
        recipe = open_recipe(name, overrides, {})
        limits = {
            "instruct": self.instruct_tokens,
            "respond": self.respond_tokens,
            "later_turns": self.instruct_tokens,
        }
        cut = {
            section: getattr(recipe, section).model_copy(update={"max_tokens": most})
            for section, most in limits.items()
        }
        return recipe.model_copy(update=cut)


async def each_shape(engine: Engine, job: Job, asked: Asked, peers: bool = True) -> dict[str, Run]:
    """One run of each shape, of the same rows."""
    with tempfile.TemporaryDirectory() as folder:
        mine = await measure(engine, places(job), lambda e: ours(e, job, asked.rows, Path(folder)))
    rows = min(asked.peer_rows, round(mine.figures["rows"] or 0))
    shapes: dict[str, Callable[[Watched], Awaitable[Made]]] = {
        "limit": lambda e: limit(e, mine),
        "official": lambda e: official(e, job, rows, asked.batch),
        "distilabel": lambda e: distilabel(e, job, rows, asked.small_batch),
    }
    runs = {"ours": mine}
    say(f"ours: {json.dumps(mine.figures)}")
    for name in asked.beside if peers else ("limit",):
        runs[name] = await measure(engine, places(job), shapes[name])
        say(f"{name}: {json.dumps(runs[name].figures)}")
    return runs


async def run(asked: Asked) -> tuple[Engine, Recipe, list[dict[str, Run]]]:
    """Starts the engine and runs the four shapes in turn."""
    recipe = asked.recipe()
    source = pin(recipe.model)
    chat = load_chat(recipe, source, home())
    engine = await start_engine(source, engine_options(recipe), home(), say=say)
    gates = build_gates({"cut_off": False})
    runs: list[dict[str, Run]] = []
    try:
        # Kernels, allocator and caches warm up on requests that are not counted.
        await asyncio.gather(
            *(engine.generate(chat.pre_query, Sampling(64, seed=s)) for s in range(asked.slots))
        )
        for repeat in range(asked.repeats):
            plan = Plan(recipe.model_copy(update={"seed": 1000 + repeat}))
            job = Job(plan, chat, gates, asked.turns)
            runs.append(await each_shape(engine, job, asked, peers=repeat == 0))
    finally:
        await engine.close()
    return engine, recipe, runs


def report(
    asked: Asked, engine: Engine, recipe: Recipe, runs: list[dict[str, Run]]
) -> dict[str, Any]:
    """The JSON object."""
    peers = asked.beside
    shapes = {
        name: middle([one[name].figures for one in runs if name in one])
        for name in ("ours", *peers)
    }
    over = {name: ratio(runs, "seconds_a_row", "ours", name) for name in peers}
    full = shapes["ours"]["occupancy_until_the_last_rows"] or 0
    later = shapes["ours"]["later_prompt_share_computed"]
    targets = {
        f"wall time within {MOST_OVER_LIMIT} of the limit": over["limit"] <= MOST_OVER_LIMIT,
        f"occupancy of {LEAST_OCCUPANCY} until the last rows": full >= LEAST_OCCUPANCY,
    }
    if later is not None:
        targets[f"at most {MOST_COMPUTED} of later prompts computed"] = later <= MOST_COMPUTED
    return {
        "model": recipe.model,
        "engine": f"{engine.info.name} {engine.info.version}",
        "device": engine.info.device,
        "dtype": engine.info.dtype,
        **asked._asdict(),
        "batch_distilabel": asked.small_batch,
        "shapes": shapes,
        "time_a_row_ours_over": over,
        "kept_a_second_ours_over": {
            name: ratio(runs, "kept_a_second", "ours", name) for name in peers
        },
        "steps_over_ours": {name: ratio(runs, "steps_a_row", name, "ours") for name in peers},
        "steps_ours_over_limit": ratio(runs, "steps", "ours", "limit"),
        # Sampled tokens differ a little between batch shapes: a token is what a second buys.
        "time_a_token_ours_over_limit": ratio(runs, "tokens_a_second", "limit", "ours"),
        # The same while slots are full: what is left when both have thinned out at the end.
        "time_a_token_until_the_last_rows_ours_over_limit": ratio(
            runs, "tokens_a_second_until_the_last_rows", "limit", "ours"
        ),
        "cpu_a_token_ours_over_limit": ratio(runs, "cpu_seconds_a_token", "ours", "limit"),
        "targets": targets,
    }


def ratio(runs: Sequence[dict[str, Run]], figure: str, one: str, other: str) -> float:
    """A figure of one shape over that of another, each pair of the same seed; the median."""
    return median(
        [
            (run[one].figures[figure] or 0) / (run[other].figures[figure] or 1)
            for run in runs
            if one in run and other in run
        ]
    )


def recording(asked: Asked, engine: Engine, recipe: Recipe, one: dict[str, Run]) -> Any:
    """What the requests of one run's finished rows decoded, stop tokens not counted."""
    watched = one["ours"].watched
    left = {place.row_id for place in watched.cancelled}
    rows: dict[int, list[int]] = {}
    for request in sorted(watched.requests, key=lambda request: request.place):
        if request.place.row_id not in left:
            rows.setdefault(request.place.row_id, []).append(len(request.completion.ids))
    return {
        "model": recipe.model,
        "slots": engine.info.slots,
        "engine": f"{engine.info.name} {engine.info.version}",
        "turns": asked.turns,
        "rows": [rows[row_id] for row_id in sorted(rows)],
        "steps": one["ours"].figures["steps"],
        "limit_steps": one["limit"].figures["steps"],
        "tokens": one["ours"].figures["tokens"],
    }


ROWS = (
    ("seconds", "seconds", "{:.1f}"),
    ("rows finished", "rows", "{:g}"),
    ("rows kept", "kept", "{:g}"),
    ("rows a second", "rows_a_second", "{:.3f}"),
    ("kept rows a second", "kept_a_second", "{:.3f}"),
    ("decoded tokens", "tokens", "{:,.0f}"),
    ("decoded tokens a second", "tokens_a_second", "{:.1f}"),
    ("decode steps", "steps", "{:,.0f}"),
    ("slot occupancy, whole run", "occupancy", "{:.3f}"),
    (
        "slot occupancy until the last slots' worth of rows",
        "occupancy_until_the_last_rows",
        "{:.3f}",
    ),
    ("decode steps after that", "steps_of_the_last_rows", "{:,.0f}"),
    ("prompt tokens", "prompt_tokens", "{:,.0f}"),
    ("of these computed, not cached", "prompt_share_computed", "{:.1%}"),
    ("prompt tokens of later turns", "later_prompt_tokens", "{:,.0f}"),
    ("of these computed", "later_prompt_share_computed", "{:.1%}"),
    ("user turns' alone, computed", "later_user_prompt_share_computed", "{:.1%}"),
    ("responses' alone, computed", "later_assistant_prompt_share_computed", "{:.1%}"),
    ("CPU seconds outside the engine", "cpu_seconds_outside_the_engine", "{:.2f}"),
    ("peak memory, MB", "peak_megabytes", "{:,.0f}"),
)


def section(found: dict[str, Any]) -> str:
    """This benchmark's part of the report."""
    shapes, turns = found["shapes"], found["turns"]
    names = [name for name in ("limit", "ours", "official", "distilabel") if name in shapes]
    lines = [
        f"| {says} | {' | '.join(cell(shapes[name][figure], form) for name in names)} |"
        for says, figure, form in ROWS
        if turns > 1 or not figure.startswith("later")
    ]
    over = found["time_a_row_ours_over"]
    steps, kept = found["steps_over_ours"], found["kept_a_second_ours_over"]
    peers = "; ".join(
        f"{name} takes {1 / over[name]:.2f} times as long a row and {steps[name]:.2f} times the "
        f"steps, and ours keeps {kept[name]:.2f} times the rows a second"
        for name in names
        if name not in ("ours", "limit")
    )
    met = "; ".join(
        f"{name}: {'met' if so else 'not met'}" for name, so in found["targets"].items()
    )
    table = "\n".join(lines)
    return f"""## Generating{f" conversations of {turns} turns" if turns > 1 else ""}

`benchmarks/generate.py{f" --turns {turns}" if turns > 1 else ""}`: {found["rows"]} rows wanted,
{found["slots"]} slots, {found["engine"]} in {found["dtype"]},
{"eager" if found["eager"] else "compiled"}, at most {found["instruct_tokens"]} and
{found["respond_tokens"]} tokens of instruction and response; {found["repeats"]} runs of
ours and of the limit in turn, medians. The limit is the same engine given all the requests that
ours completed at once. The official loop makes {found["batch"]} rows a call, all instructions
before all responses, distilabel {found["batch_distilabel"]}, two stages a batch: what 200 and 50
are to 256 slots; both over the first rows of ours, once.

| | {" | ".join(names)} |
|---|{"---|" * len(names)}
{table}

Wall time, ours over the limit: **{over["limit"]}** (median of the pairs); a token's, since samples
differ a little between batch shapes: {found["time_a_token_ours_over_limit"]}, and a token's CPU
time {found["cpu_a_token_ours_over_limit"]}. While slots are full, a token's wall time is
{found["time_a_token_until_the_last_rows_ours_over_limit"]} of the limit's, and ours makes
{found["steps_ours_over_limit"]} times the limit's steps: at the end of a run a last
row's response has to wait for its instruction, which the limit knows in advance. Against ours,
{peers or "nothing else was run"}.

Targets: {met}.
"""


def cell(value: float | None, form: str) -> str:
    """A figure of the table."""
    return "" if value is None else form.format(value)


def say(line: str) -> None:
    """Prints a line for the user."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=1)
    for name, says in SETTINGS.items():
        says += f": {USUAL[1][name]}; {USUAL[2][name]} if there are more turns."
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=says)
    parser.add_argument("--batch", type=int, help="Rows a call of the official loop.")
    parser.add_argument("--beside", default=",".join(BESIDE), help="Shapes beside ours.")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--compiled", action="store_true")
    kind.add_argument("--eager", action="store_true")
    parser.add_argument("--record", type=Path, help="Where to write what was decoded.")
    chosen = parser.parse_args()
    usual = USUAL[min(chosen.turns, 2)]
    set_to = {name: getattr(chosen, name) or usual[name] for name in SETTINGS}
    asked = Asked(
        turns=chosen.turns,
        batch=chosen.batch or max(1, round(set_to["slots"] * 200 / 256)),
        eager=not chosen.compiled,
        beside=tuple(name for name in BESIDE if name in ("limit", *chosen.beside.split(","))),
        **set_to,
    )
    engine, recipe, runs = asyncio.run(run(asked))
    if chosen.record:
        chosen.record.parent.mkdir(parents=True, exist_ok=True)
        said = json.dumps(recording(asked, engine, recipe, runs[0]))
        chosen.record.write_text(said + "\n", encoding="utf-8")
    print(json.dumps(report(asked, engine, recipe, runs)))


if __name__ == "__main__":
    main()
