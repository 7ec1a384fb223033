"""The replay's part of the report: what `benchmarks/replay.py` printed, as Markdown."""

from __future__ import annotations

import textwrap
from typing import Any

OFFICIAL, DISTILABEL, OURS = (1.4, 2.3), 3.0, 1.03
"""Targets at the usual slots: times of the two over ours, and of ours over the bound."""


def section(found: dict[str, Any]) -> str:
    """Its part of the report.

    Args:
        found: The printed object, through JSON or not.
    """
    rows, delay = found["rows"], found["delay"]
    *others, most = found["constants"]
    about = f"""`benchmarks/replay.py --rows {rows}`: recorded lengths, drawn row by row with
        replacement, in every shape of scheduling over the very same rows. A decode step costs what
        {", ".join(map(str, others))} or {most} running sequences cost, and one more for each that
        runs; our callers hear of a request's end {delay} {_count("step", delay)} late. *Ours* is
        the code that runs everywhere else, driving rollouts that only wait. The *bound* is full
        slots from the first step to the last; *staged* knows all requests of a stage in advance.
        *Official*: {found["batch"]["official"]} prompts a call, drained, stage after stage.
        *distilabel*: batches of {found["batch"]["distilabel"]} rows, drained, stage after stage;
        *two steps*: both stages side by side on one engine, the best that its pipeline could do.
        Loading, files and calls cost them nothing here, and every shape has our gates, so that
        none pays for a response that we do not."""
    parts = [_part(part, found) for part in found["recordings"]]
    return "\n\n".join(["## Scheduling, replayed", _paragraph(about), *parts]) + "\n"


def _part(part: dict[str, Any], found: dict[str, Any]) -> str:
    """One recording."""
    slots, constant = found["usual"]["slots"], found["usual"]["constant"]
    usual = _at(part["slots"], slots)
    cold = usual["over_ours_prompts_not_cached"]
    surplus = usual["ours"]["surplus"] / usual["ours"]["busy"]
    fewer = ", ".join(
        f"{over['ours'] - 1:.1%} (staged: {over['staged'] - 1:.1%}) with {int(count):,} rows"
        for count, over in part["over_bound_of_fewer_rows"].items()
    )
    more = f"""Of our busy slot-steps at {slots} slots {surplus:.2%} went into rows that turned out
        not to be needed; they count as ours, and stay in the journal. The end of a run weighs more
        in a smaller one: there, and at a constant of {constant}, ours is over the bound by {fewer}.
        With every prompt computed, nothing cached and {found["prefill"]} of a sequence-step a
        token, the official loop takes {cold["official"]:.2f} times and distilabel
        {cold["distilabel"]:.2f} times as long as ours."""
    caps = f"""Ours over the bound there, and our occupancy until the tail, by the cap on rows in
        flight and by the steps that an answer takes ({found["rows"] // 10:,} rows):"""
    blocks = [
        f"### {_title(part)}",
        _paragraph(f"{_origin(part)} {part['rows']:,} rows, {part['requests']:,} requests."),
        _shapes_table(part),
        _paragraph(_targets(usual, slots)),
        _paragraph(more),
        *([_paragraph(_agreement(part))] if part["agreement"] else []),
        _paragraph(caps),
        _caps_table(part),
    ]
    return "\n\n".join(blocks)


def _title(part: dict[str, Any]) -> str:
    if part["agreement"] is None:
        return "Lengths of Llama-3-Magpie-Air"
    return f"{part['turns']} {_count('turn', part['turns'])}"


def _origin(part: dict[str, Any]) -> str:
    tokens = f"{part['mean_tokens']} tokens a request, {part['most_tokens']} at most"
    if part["agreement"] is None:
        return (
            "Not recorded: turns drawn from the lognormal distribution with the published mean and "
            f"deviation, an eighth of each the instruction, no rejects ({tokens})."
        )
    passing = part["rows_that_pass"] / part["rows"]
    return (
        f"Recorded: {part['recorded_rows']} rows that {part['model']} wrote in {part['engine']} "
        f"({tokens}; {part['at_the_limit']:.1%} are as long as the longest of their side: the more "
        f"are cut off, the less a drained call waits for its longest); {passing:.1%} of them pass."
    )


def _shapes_table(part: dict[str, Any]) -> str:
    two = part["turns"] == 1
    names = ["official", "distilabel", *(["distilabel_two_steps"] if two else [])]
    heads = ["slots", "a step's constant", "ours over the bound", "staged over the bound"]
    heads += [f"{name.replace('_', ', ', 1).replace('_', ' ')} over ours" for name in names]
    heads += ["our occupancy", "until the tail", "official's", "distilabel's"]
    lines = []
    for slots, run in part["slots"].items():
        full = [run["shapes"][name]["occupancy"] for name in ("ours", "official", "distilabel")]
        for constant, over in run["over_ours"].items():
            of_bound = run["over_bound"][constant]
            lines.append(
                [f"{slots}", f"{constant}", f"{of_bound['ours']:.3f}", f"{of_bound['staged']:.3f}"]
                + [f"{over[name]:.2f}" for name in names]
                + [f"{full[0]:.1%}", _share(run["ours"]["occupancy_until_tail"])]
                + [f"{share:.1%}" for share in full[1:]]
            )
    return _table(heads, lines)


def _caps_table(part: dict[str, Any]) -> str:
    heads = ["cap over slots", "most in flight"]
    heads += [f"{delay} {_count('step', int(delay))}" for delay in part["caps"][0]["over_bound"]]
    lines = [
        [f"{cap['cap']}", f"{cap['most_in_flight']}"]
        + [
            f"{over:.3f}, {_share(cap['occupancy_until_tail'][delay])}"
            for delay, over in cap["over_bound"].items()
        ]
        for cap in part["caps"]
    ]
    return _table(heads, lines)


def _targets(usual: dict[str, Any], slots: int) -> str:
    """Which targets are met, over all constants, and what decides it."""
    official = {constant: over["official"] for constant, over in usual["over_ours"].items()}
    distilabel = {constant: over["distilabel"] for constant, over in usual["over_ours"].items()}
    ours = {constant: over["ours"] for constant, over in usual["over_bound"].items()}
    running = {name: round(shape["running"]) for name, shape in usual["shapes"].items()}
    return f"""At {slots} slots, over all constants: the official loop takes {_span(official)} times
as long as ours (target {OFFICIAL[0]} to {OFFICIAL[1]}:
{_met({constant: over >= OFFICIAL[0] for constant, over in official.items()})}), distilabel
{_span(distilabel)} times (target {DISTILABEL:g}:
{_met({constant: over >= DISTILABEL for constant, over in distilabel.items()})}); ours is over the
bound by {max(ours.values()) - 1:.1%} at most (target {OURS - 1:.0%}:
{_met({constant: over <= OURS for constant, over in ours.items()})}). A call that drains keeps few
sequences running: {running["official"]} on average in the official loop, {running["distilabel"]} in
distilabel, {running["ours"]} in ours."""


def _agreement(part: dict[str, Any]) -> str:
    said = "; ".join(
        f"{name} {pair['replayed']:,} steps, recorded {pair['recorded']:,} "
        f"({pair['replayed_over_recorded']:.3f})"
        for name, pair in part["agreement"].items()
    )
    return (
        f"The replay beside the real engine, with the recorded rows at their "
        f"{part['recorded_slots']} slots: {said}."
    )


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 100, break_on_hyphens=False)


def _table(heads: list[str], lines: list[list[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _span(values: dict[Any, float]) -> str:
    return f"{min(values.values()):.2f} to {max(values.values()):.2f}"


def _met(by_constant: dict[Any, bool]) -> str:
    missed = [f"{constant}" for constant, met in by_constant.items() if not met]
    return f"missed at {', '.join(missed)}" if missed else "met"


def _share(value: float | None) -> str:
    """A share; a dash where the whole run is tail."""
    return "-" if value is None else f"{value:.2%}"


def _count(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"


def _at(table: dict[Any, Any], key: int) -> Any:
    """An entry whose key is a number, or its name once it has been through JSON."""
    return table[key] if key in table else table[str(key)]
