"""The published row: its Arrow schema, and how a conversation becomes one.

Which columns there are: `magpie_hub.release.columns`.

`messages` is the one column of conversations. Beside a column `conversations`, which the published
sets have, TRL overwrites `messages` with it and trains on the roles human and gpt; so that one
stands in a config of its own, `sharegpt`, under the rows' uuids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from magpie_hub.generate.plan import PlannedRow, row_uuid, turn_suffix
from magpie_hub.judges.columns import Column
from magpie_hub.recipe.config import Recipe
from magpie_hub.release.columns import CONVERSATIONS, PLAN, REASON, published_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from magpie_hub.store.journal import TurnText

Row = dict[str, Any]

DEFAULT, RAW, SHAREGPT = "default", "raw", "sharegpt"
CONFIGS = (DEFAULT, RAW, SHAREGPT)
"""Configs of a release: the dataset, every planned row, and the dataset's turns as ShareGPT's."""

USER, ASSISTANT = "user", "assistant"
"""Roles of `messages`."""

HUMAN, GPT = "human", "gpt"
"""What ShareGPT calls them."""


def arrow_schema(turns: int, judges: Sequence[str] = (), *, raw: bool = False) -> pa.Schema:
    """Columns of a set.

    Args:
        turns: User turns of each conversation, from 1.
        judges: Names of the judges at work.
        raw: Whether it holds rejected rows, with their reasons.
    """
    return _schema(published_columns(turns, judges, raw=raw))


def _schema(named: Mapping[str, Column]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([pa.field(name, _arrow_type(one)) for name, one in named.items()])


def _arrow_type(column: Column) -> pa.DataType:
    import pyarrow as pa

    struct = pa.struct([(field.name, _arrow_type(field)) for field in column.fields])
    return {
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "integer": pa.int64(),
        "number": pa.float64(),
        "truth": pa.bool_(),
        "struct": struct,
        "structs": pa.list_(struct),
    }[column.kind]


def to_table(
    planned: Sequence[PlannedRow],
    conversations: Sequence[Sequence[TurnText]],
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
        labels: Each row's labels, by column.
        recipe: The recipe that drew them.
        model: The generator's name as published.
        pre_queries: What the generator was given for a first instruction, as text, by the name of
            the system prompt; None is the name of none.
        reasons: Why each row is rejected, for a set with rejected rows.
        identity: The generator's name of which uuids are made, where that is not `model`.

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
    turn: int, conversations: Sequence[Sequence[TurnText]]
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


def _messages(conversations: Sequence[Sequence[TurnText]], kind: pa.ListType) -> pa.ListArray:
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
    uuid = PLAN[0]
    return _schema({uuid.name: uuid, CONVERSATIONS.name: CONVERSATIONS})


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
