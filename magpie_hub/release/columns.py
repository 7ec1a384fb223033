"""All published columns, in their order: those of the plan and the journal, and the judges'.

Names and nesting are those of the later Magpie sets (Magpie-Qwen2-Pro, Magpie-Llama-3.1-Pro and
their -MT versions on the Hub), so that rows sit beside Magpie-Align's own without a rename. Added
are `messages`, `row_id`, token counts and finish reasons, a seed that is filled in, and why a judge
has no label for a row. A judge's columns are there when the recipe has that judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from magpie_hub.generate.plan import turn_suffix
from magpie_hub.judges.columns import IN_RAW, NEVER, Column
from magpie_hub.judges.registry import JUDGES

REASON = "reject_reason"
"""Column of the config `raw` alone."""

_ours = partial(Column, null=NEVER, by="magpie_hub")
_TURN = re.compile(r"(?P<name>.*[a-z])_[2-9]")

PLAN = (
    _ours("uuid", "text", "Names the row wherever it goes: a UUID of generator and seed."),
    _ours(
        "row_id",
        "integer",
        "Number of the planned row, from 0. Gaps are rows that were not delivered; they stand in "
        "`raw`.",
    ),
    _ours("model", "text", "The generator."),
    _ours(
        "gen_input_configs",
        "struct",
        "How the first instruction was drawn.",
        fields=(
            _ours("temperature", "number", "Sampling temperature.", counted="sampling"),
            _ours("top_p", "number", "Nucleus mass, in (0, 1].", counted="sampling"),
            _ours("input_generator", "text", "The model that wrote it."),
            _ours("seed", "integer", "The row's seed; those of its completions derive from it."),
            _ours(
                "pre_query_template",
                "text",
                "All that the model was given, as text, a system prompt included.",
            ),
            _ours(
                "system_prompt",
                "text",
                "Name of the recipe's system prompt.",
                null="if there was none",
            ),
        ),
    ),
    _ours(
        "gen_response_configs",
        "struct",
        "How responses were drawn.",
        fields=(
            _ours("temperature", "number", "Sampling temperature; 0 is greedy."),
            _ours("top_p", "number", "Nucleus mass, in (0, 1]."),
            _ours("repetition_penalty", "number", "1 is off."),
            _ours("max_tokens", "integer", "Upper bound on the response's tokens."),
            _ours("output_generator", "text", "The model that wrote it."),
        ),
    ),
)

TEXTS = (
    Column("instruction", "text", "The user's words.", NEVER, "generator", each_turn=True),
    Column("response", "text", "The assistant's words.", IN_RAW, "generator", each_turn=True),
)

MESSAGES = _ours(
    "messages",
    "structs",
    "All turns as `role` (`user`, `assistant`) and `content`: what chat templates and trainers "
    "read.",
    fields=(_ours("role", "text"), _ours("content", "text")),
)

_length = partial(_ours, kind="integer", each_turn=True, counted="lengths")

LENGTHS = (
    _length("instruction_length", meaning="Characters of the instruction."),
    _length("response_length", meaning="Characters of the response.", null=IN_RAW),
    _length("instruction_tokens", meaning="The generator's own tokens of the instruction."),
    _length(
        "response_tokens",
        meaning="The generator's own tokens of the response, its thinking included.",
        null=IN_RAW,
    ),
    _ours(
        "finish_reason",
        "text",
        "Why the response ended: `stop`, `length` (cut off) or `repetition`.",
        null=IN_RAW,
        each_turn=True,
        counted="labels",
        drift="mix",
    ),
)

FAILURES = _ours(
    "judge_failures",
    "structs",
    "Judges that gave a reason instead of a label: `judge` and `reason`; mostly empty.",
    null=IN_RAW,
    fields=(_ours("judge", "text"), _ours("reason", "text")),
    counted="failures",
)

REJECTED = _ours(
    REASON, "text", "Why the row is not in `default`.", null="if it is, and was delivered"
)

CONVERSATIONS = _ours(
    "conversations",
    "structs",
    "`messages` as ShareGPT has them: `from` (`human`, `gpt`) and `value`.",
    fields=(_ours("from", "text"), _ours("value", "text")),
)


def judge_columns() -> Iterator[Column]:
    """The columns of all judges, in the order of the published sets."""
    for judge in JUDGES.values():
        for column in judge.columns:
            yield replace(column, by=f"`{column.by or judge.name}`")


def published_columns(
    turns: int, judges: Sequence[str] | None = None, *, raw: bool = False
) -> dict[str, Column]:
    """The columns of a set, by published name, in their order.

    Args:
        turns: User turns of each conversation, from 1.
        judges: Names of the judges at work; None for all.
        raw: Whether it holds rejected rows, with their reasons.
    """
    names = list(JUDGES) if judges is None else judges
    labels = [one for name, judge in JUDGES.items() if name in names for one in judge.columns]
    suffixes = [turn_suffix(turn) for turn in range(1, turns + 1)]
    return {
        **{column.name: column for column in PLAN},
        **{column.name + end: column for end in suffixes for column in TEXTS},
        MESSAGES.name: MESSAGES,
        **{column.name + end: column for end in suffixes for column in LENGTHS},
        **{column.name: column for column in labels},
        **({FAILURES.name: FAILURES} if names else {}),
        **({REJECTED.name: REJECTED} if raw else {}),
    }


def find_column(name: str) -> Column | None:
    """A column by its published name: "response", "response_3", "gen_input_configs.seed".

    Returns:
        None if there is no such column.
    """
    outer, _, inner = name.partition(".")
    known = {column.name: column for column in _all()}
    found = known.get(first_turn_name(outer))
    if found is None or not inner:
        return found
    return next((field for field in found.fields if field.name == inner), None)


def first_turn_name(name: str) -> str:
    """The name of the first turn's column; a column without turns is its own."""
    found = _TURN.fullmatch(name)
    per_turn = {column.name for column in (*TEXTS, *LENGTHS)}
    return found["name"] if found and found["name"] in per_turn else name


def _all() -> Iterator[Column]:
    yield from (*PLAN, *TEXTS, MESSAGES, *LENGTHS, *judge_columns(), FAILURES, REJECTED)
    yield CONVERSATIONS
