"""The published row: its columns, and how a conversation becomes one.

Column names and nesting are those of the later Magpie sets (Magpie-Qwen2-Pro, Magpie-Llama-3.1-Pro
and their -MT versions on the Hub), so that rows sit beside Magpie-Align's own without a rename.
Added are `messages` (what TRL and friends read), `row_id`, token counts and finish reasons, a seed
that is filled in, and what a judge that failed on a row said. A judge's columns are there when the
recipe has that judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from magpie_hub.journal import TurnRecord
from magpie_hub.plan import PlannedRow, row_uuid
from magpie_hub.recipe.model import Recipe

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

LABELS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "tags": {
            "task_category": "text",
            "other_task_category": "texts",
            "task_category_generator": "text",
            "difficulty": "text",
            "intent": "text",
            "knowledge": "text",
            "difficulty_generator": "text",
            "input_quality": "text",
            "quality_explanation": "text",
            "quality_generator": "text",
        },
        "safety": {"llama_guard_2": "text", "safe": "truth", "safety_categories": "texts"},
        "reward": {"reward_model": "text", "instruct_reward": "number"},
        "base": {"base_output": "text", "base_reward": "number", "reward_difference": "number"},
        "neighbors": {
            "min_neighbor_distance": "number",
            "repeat_count": "integer",
            "min_similar_uuid": "text",
        },
        "language": {"language": "text"},
    }
)
"""Columns by judge, with the kind of their values, in the order of the published sets."""


def suffix(turn: int) -> str:
    """How the columns of a turn end: "" for the first, "_2" for the second, …"""
    return "" if turn == 1 else f"_{turn}"


def arrow_schema(turns: int, judges: Sequence[str] = (), *, raw: bool = False) -> pa.Schema:
    """Columns of a set.

    Args:
        turns: User turns of each conversation, from 1.
        judges: Names of the judges at work, keys of `LABELS`.
        raw: Whether rejected rows stand in it, with their reasons.
    """
    import pyarrow as pa

    text, integer, number = pa.string(), pa.int64(), pa.float64()
    fields = [
        pa.field("uuid", text),
        pa.field("row_id", integer),
        pa.field("model", text),
        pa.field(
            "gen_input_configs",
            pa.struct(
                [
                    ("temperature", number),
                    ("top_p", number),
                    ("input_generator", text),
                    ("seed", integer),
                    ("pre_query_template", text),
                    ("system_prompt", text),
                ]
            ),
        ),
        pa.field(
            "gen_response_configs",
            pa.struct(
                [
                    ("temperature", number),
                    ("top_p", number),
                    ("repetition_penalty", number),
                    ("max_tokens", integer),
                    ("output_generator", text),
                ]
            ),
        ),
    ]
    for turn in range(1, turns + 1):
        end = suffix(turn)
        fields += [pa.field("instruction" + end, text), pa.field("response" + end, text)]
    fields += [
        pa.field("conversations", pa.list_(pa.struct([("from", text), ("value", text)]))),
        pa.field("messages", pa.list_(pa.struct([("role", text), ("content", text)]))),
    ]
    for turn in range(1, turns + 1):
        end = suffix(turn)
        fields += [
            pa.field("instruction_length" + end, integer),
            pa.field("response_length" + end, integer),
            pa.field("instruction_tokens" + end, integer),
            pa.field("response_tokens" + end, integer),
            pa.field("finish_reason" + end, text),
        ]
    kinds = {
        "text": text,
        "texts": pa.list_(text),
        "integer": integer,
        "number": number,
        "truth": pa.bool_(),
    }
    for judge, columns in LABELS.items():
        if judge in judges:
            fields += [pa.field(name, kinds[kind]) for name, kind in columns.items()]
    if judges:
        failure = pa.struct([("judge", text), ("reason", text)])
        fields.append(pa.field("judge_failures", pa.list_(failure)))
    if raw:
        fields.append(pa.field("reject_reason", text))
    return pa.schema(fields)


def to_row(
    planned: PlannedRow,
    turns: Sequence[TurnRecord],
    recipe: Recipe,
    model: str,
    pre_query: str,
    labels: Mapping[str, Any] = MappingProxyType({}),
) -> Row:
    """A published row.

    Args:
        planned: The row's plan.
        turns: Its finished turns, in order; the last one of a rejected row may lack a response.
        recipe: The recipe that drew it.
        model: The generator's name as published.
        pre_query: The generator's pre-query template as text.
        labels: What the judges said of it, by column.

    Returns:
        Values by column, in the order and types of `arrow_schema`. Lengths are in characters, as
        in the published sets; token counts are the generator's own.
    """
    row: Row = {
        "uuid": row_uuid(model, planned.seed),
        "row_id": planned.row_id,
        "model": model,
        "gen_input_configs": {
            "temperature": planned.point.temperature,
            "top_p": planned.point.top_p,
            "input_generator": model,
            "seed": planned.seed,
            "pre_query_template": pre_query,
            "system_prompt": planned.system.name if planned.system else None,
        },
        "gen_response_configs": {
            "temperature": recipe.respond.temperature,
            "top_p": recipe.respond.top_p,
            "repetition_penalty": recipe.respond.repetition_penalty,
            "max_tokens": recipe.respond.max_tokens,
            "output_generator": model,
        },
    }
    sharegpt: list[dict[str, str]] = []
    messages: list[dict[str, str]] = []
    measures: Row = {}
    for record in turns:
        end = suffix(record.turn)
        instruction, response = record.instruction, record.response
        row["instruction" + end], row["response" + end] = instruction, response
        sharegpt.append({"from": "human", "value": instruction})
        messages.append({"role": "user", "content": instruction})
        measures["instruction_length" + end] = len(instruction)
        measures["instruction_tokens" + end] = len(record.instruction_ids)
        if response is None or record.response_ids is None:
            continue
        sharegpt.append({"from": "gpt", "value": response})
        messages.append({"role": "assistant", "content": response})
        measures["response_length" + end] = len(response)
        measures["response_tokens" + end] = len(record.response_ids)
        measures["finish_reason" + end] = record.response_finish
    return {**row, "conversations": sharegpt, "messages": messages, **measures, **labels}
