"""The published row: its columns, and how a conversation becomes one.

Column names and nesting are those of the later Magpie sets (Magpie-Qwen2-Pro, Magpie-Llama-3.1-Pro
and their -MT versions on the Hub), so that rows sit beside Magpie-Align's own without a rename.
Added are `messages`, `row_id`, token counts and finish reasons, a seed that is filled in, and what
a judge that failed on a row said. A judge's columns are there when the recipe has that judge.

`messages` is the one column of conversations. Beside a column `conversations`, which the published
sets have, TRL overwrites `messages` with it and trains on the roles human and gpt; so that one
stands in a config of its own, `sharegpt`, under the rows' uuids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from magpie_hub.generate.plan import PlannedRow, row_uuid, turn_suffix
from magpie_hub.recipe.config import Recipe

if TYPE_CHECKING:
    import pyarrow as pa

    from magpie_hub.store.journal import Words

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


DEFAULT, RAW, SHAREGPT = "default", "raw", "sharegpt"
CONFIGS = (DEFAULT, RAW, SHAREGPT)
"""Configs of a release: the dataset, every planned row, and the dataset's turns as ShareGPT's."""

USER, ASSISTANT = "user", "assistant"
"""Roles of `messages`."""

HUMAN, GPT = "human", "gpt"
"""What ShareGPT calls them."""

REASON = "reject_reason"
"""Column of the config `raw` alone."""


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
        end = turn_suffix(turn)
        fields += [pa.field("instruction" + end, text), pa.field("response" + end, text)]
    fields.append(pa.field("messages", pa.list_(pa.struct([("role", text), ("content", text)]))))
    for turn in range(1, turns + 1):
        end = turn_suffix(turn)
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
        fields.append(pa.field(REASON, text))
    return pa.schema(fields)


def to_table(
    planned: Sequence[PlannedRow],
    conversations: Sequence[Sequence[Words]],
    labels: Sequence[Mapping[str, Any]],
    recipe: Recipe,
    model: str,
    pre_queries: Mapping[str | None, str],
    reasons: Sequence[str | None] | None = None,
    *,
    identity: str | None = None,
) -> pa.Table:
    """Published rows, built by column: a row at a time takes ten times as long.

    Args:
        planned: The rows' plans.
        conversations: Each row's finished turns, in order; the last one of a rejected row may lack
            a response.
        labels: What the judges said of each row, by column.
        recipe: The recipe that drew them.
        model: The generator's name as published.
        pre_queries: What the generator was given for a first instruction, as text, by the name of
            the system prompt; None is the name of none.
        reasons: Why each row is rejected, for a set in which rejected rows stand.

    Returns:
        A table with the columns of `arrow_schema`. Lengths are in characters, as in the published
        sets; token counts are the generator's own.
    """
    import pyarrow as pa

    schema = arrow_schema(recipe.turns, recipe.judges.names, raw=reasons is not None)
    size = len(planned)

    def column(name: str, values: Sequence[Any]) -> None:
        columns[name] = pa.array(values, schema.field(name).type)

    def struct(name: str, **fields: Any) -> None:
        """A column of structs; a field is a list of values, or one value for all rows."""
        kind = schema.field(name).type
        arrays = [
            pa.array(fields[field.name], field.type)
            if isinstance(fields[field.name], list)
            else pa.repeat(pa.scalar(fields[field.name], field.type), size)
            for field in kind
        ]
        columns[name] = pa.StructArray.from_arrays(arrays, fields=list(kind))

    columns: dict[str, pa.Array] = {}
    systems = [row.system.name if row.system else None for row in planned]
    column("uuid", [row_uuid(identity or model, row.seed) for row in planned])
    column("row_id", [row.row_id for row in planned])
    columns["model"] = pa.repeat(pa.scalar(model), size)
    struct(
        "gen_input_configs",
        temperature=[row.point.temperature for row in planned],
        top_p=[row.point.top_p for row in planned],
        input_generator=model,
        seed=[row.seed for row in planned],
        pre_query_template=[pre_queries[name] for name in systems],
        system_prompt=systems,
    )
    struct(
        "gen_response_configs",
        temperature=recipe.respond.temperature,
        top_p=recipe.respond.top_p,
        repetition_penalty=recipe.respond.repetition_penalty,
        max_tokens=recipe.respond.max_tokens,
        output_generator=model,
    )
    for turn in range(1, recipe.turns + 1):
        end = turn_suffix(turn)
        for name, values in _turn_columns(turn, conversations).items():
            column(name + end, values)
    columns["messages"] = _messages(conversations, schema.field("messages").type)
    for field in schema:
        if field.name not in columns and field.name != REASON:
            column(field.name, [label.get(field.name) for label in labels])
    if reasons is not None:
        column(REASON, reasons)
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _turn_columns(
    turn: int, conversations: Sequence[Sequence[Words]]
) -> dict[str, Sequence[str | int | None]]:
    """A turn's columns; None where a conversation has not come so far."""
    found = [said[turn - 1] if len(said) >= turn else None for said in conversations]
    answers = [None if one is None else one.response for one in found]
    answered = [
        (one.response_tokens, one.response_finish) if one and one.response is not None else _NEITHER
        for one in found
    ]
    return {
        "instruction": [one and one.instruction for one in found],
        "response": answers,
        "instruction_length": [one and len(one.instruction) for one in found],
        "response_length": [None if answer is None else len(answer) for answer in answers],
        "instruction_tokens": [one and one.instruction_tokens for one in found],
        "response_tokens": [tokens for tokens, _ in answered],
        "finish_reason": [reason for _, reason in answered],
    }


_NEITHER = (None, None)


def _messages(conversations: Sequence[Sequence[Words]], kind: pa.ListType) -> pa.ListArray:
    """The column `messages`."""
    import pyarrow as pa

    texts: list[str] = []
    roles: list[str] = []
    ends = [0]
    for turns in conversations:
        for said in turns:
            texts.append(said.instruction)
            roles.append(USER)
            if said.response is not None:
                texts.append(said.response)
                roles.append(ASSISTANT)
        ends.append(len(texts))
    content, speakers = pa.array(texts, pa.string()), pa.array(roles, pa.string())
    items = pa.StructArray.from_arrays([speakers, content], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), items, type=kind)


def published_schema(recipe: Recipe, config: str) -> pa.Schema:
    """Columns of one of the `CONFIGS`."""
    if config == SHAREGPT:
        return sharegpt_schema()
    return arrow_schema(recipe.turns, recipe.judges.names, raw=config == RAW)


def sharegpt_schema() -> pa.Schema:
    """Columns of the config `sharegpt`."""
    import pyarrow as pa

    text = pa.string()
    turns = pa.list_(pa.struct([("from", text), ("value", text)]))
    return pa.schema([("uuid", text), ("conversations", turns)])


def to_sharegpt(table: pa.Table) -> pa.Table:
    """Rows of the config `default` as those of the config `sharegpt`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = sharegpt_schema()
    kind = schema.field("conversations").type
    messages = table["messages"].combine_chunks()
    roles, content = messages.flatten().flatten()
    speakers = pc.if_else(pc.equal(roles, USER), HUMAN, GPT)
    items = pa.StructArray.from_arrays([speakers, content], fields=list(kind.value_type))
    offsets = pc.subtract(messages.offsets, messages.offsets[0])
    turns = pa.ListArray.from_arrays(offsets, items, type=kind)
    return pa.Table.from_arrays([table["uuid"], turns], schema=schema)
