"""The published row: its columns, and how a conversation becomes one.

Column names and nesting are those of the later Magpie sets (Magpie-Qwen2-Pro, Magpie-Llama-3.1-Pro
and their -MT versions on the Hub), so that rows sit beside Magpie-Align's own without a rename.
Added are `messages` (what TRL and friends read), `row_id`, token counts and finish reasons, and a
seed that is filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from magpie_hub.journal import TurnRecord
from magpie_hub.plan import PlannedRow, row_uuid
from magpie_hub.recipe.model import Recipe

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]


def suffix(turn: int) -> str:
    """How the columns of a turn end: "" for the first, "_2" for the second, …"""
    return "" if turn == 1 else f"_{turn}"


def arrow_schema(turns: int) -> pa.Schema:
    """Columns of a set with so many turns.

    Args:
        turns: User turns of each conversation, from 1.
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
    return pa.schema(fields)


def to_row(
    planned: PlannedRow, turns: Sequence[TurnRecord], recipe: Recipe, model: str, pre_query: str
) -> Row:
    """A published row.

    Args:
        planned: The row's plan.
        turns: Its finished turns, in order.
        recipe: The recipe that drew it.
        model: The generator's name as published.
        pre_query: The generator's pre-query template as text.

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
        instruction, response = record.instruction, record.response or ""
        row["instruction" + end], row["response" + end] = instruction, response
        sharegpt += [{"from": "human", "value": instruction}, {"from": "gpt", "value": response}]
        messages += [
            {"role": "user", "content": instruction},
            {"role": "assistant", "content": response},
        ]
        measures["instruction_length" + end] = len(instruction)
        measures["response_length" + end] = len(response)
        measures["instruction_tokens" + end] = len(record.instruction_ids)
        measures["response_tokens" + end] = len(record.response_ids or ())
        measures["finish_reason" + end] = record.response_finish
    return {**row, "conversations": sharegpt, "messages": messages, **measures}
