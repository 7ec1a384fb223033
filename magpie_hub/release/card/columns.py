"""What every published column means, who fills it in, and when it is null.

The card's table of fields is made of this and of the columns that are there. A test holds it
against `magpie_hub.release.schema`: a column that nobody described cannot be published.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

NEVER = "never"
IN_RAW = "in `raw`"
UNJUDGED = "if the judge failed"
EXPLAINED = "unless the tagger explains"

_GENERATOR = "generator"
_US = "magpie_hub"
_TURN = re.compile(r"(?P<name>.*[a-z])_(?P<turn>[2-9])")


class Field(NamedTuple):
    """A column's description.

    Attributes:
        meaning: A sentence or two of Markdown.
        by: Who fills it in.
        null: When it is null.
    """

    meaning: str
    by: str
    null: str = NEVER


class FieldRow(NamedTuple):
    """A line of the card's table.

    Attributes:
        names: The column, and those of the later turns; struct fields dotted.
        type: As a person would say it.
        field: Its description.
        only: The config that it stands in, for one that `default` lacks.
    """

    names: tuple[str, ...]
    type: str
    field: Field
    only: str | None


FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "uuid": Field("Names the row wherever it goes: a UUID of generator and seed.", _US),
        "row_id": Field(
            "Number of the planned row, from 0. Gaps are rows that were not delivered; they stand "
            "in `raw`.",
            _US,
        ),
        "model": Field("The generator.", _US),
        "gen_input_configs": Field("How the first instruction was drawn.", _US),
        "gen_input_configs.temperature": Field("Sampling temperature.", _US),
        "gen_input_configs.top_p": Field("Nucleus mass, in (0, 1].", _US),
        "gen_input_configs.input_generator": Field("The model that wrote it.", _US),
        "gen_input_configs.seed": Field(
            "The row's seed; those of its completions derive from it.", _US
        ),
        "gen_input_configs.pre_query_template": Field(
            "All that the model was given, as text, a system prompt included.", _US
        ),
        "gen_input_configs.system_prompt": Field(
            "Name of the recipe's system prompt.", _US, "if there was none"
        ),
        "gen_response_configs": Field("How responses were drawn.", _US),
        "gen_response_configs.temperature": Field("Sampling temperature; 0 is greedy.", _US),
        "gen_response_configs.top_p": Field("Nucleus mass, in (0, 1].", _US),
        "gen_response_configs.repetition_penalty": Field("1 is off.", _US),
        "gen_response_configs.max_tokens": Field("Upper bound on the response's tokens.", _US),
        "gen_response_configs.output_generator": Field("The model that wrote it.", _US),
        "instruction": Field("The user's words.", _GENERATOR),
        "response": Field("The assistant's words.", _GENERATOR, IN_RAW),
        "messages": Field(
            "All turns as `role` (`user`, `assistant`) and `content`: what chat templates and "
            "trainers read.",
            _US,
        ),
        "instruction_length": Field("Characters of the instruction.", _US),
        "response_length": Field("Characters of the response.", _US, IN_RAW),
        "instruction_tokens": Field("The generator's own tokens of the instruction.", _US),
        "response_tokens": Field(
            "The generator's own tokens of the response, its thinking included.", _US, IN_RAW
        ),
        "finish_reason": Field(
            "Why the response ended: `stop`, `length` (cut off) or `repetition`.", _US, IN_RAW
        ),
        "task_category": Field("The task, one of twelve.", "`tags`", UNJUDGED),
        "other_task_category": Field("Further tasks that it is as well.", "`tags`", UNJUDGED),
        "task_category_generator": Field("The tagger.", "`tags`", UNJUDGED),
        "difficulty": Field(
            "From `very easy` to `very hard`, by what answering takes.", "`tags`", UNJUDGED
        ),
        "intent": Field("What the user wants, in a phrase.", "`tags`", EXPLAINED),
        "knowledge": Field("What answering takes, in a phrase.", "`tags`", EXPLAINED),
        "difficulty_generator": Field("The tagger.", "`tags`", UNJUDGED),
        "input_quality": Field(
            "From `very poor` to `excellent`: how clear and specific the instruction is.",
            "`tags`",
            UNJUDGED,
        ),
        "quality_explanation": Field("The tagger's reason for that quality.", "`tags`", EXPLAINED),
        "quality_generator": Field("The tagger.", "`tags`", UNJUDGED),
        "llama_guard_2": Field(
            "What the guard wrote, whichever guard it was; the name is that of the published sets.",
            "`safety`",
            UNJUDGED,
        ),
        "safe": Field("Whether the guard objects to nothing.", "`safety`", UNJUDGED),
        "safety_categories": Field(
            "What it objects to, by its own codes; empty for a safe row.",
            "`safety`",
            UNJUDGED,
        ),
        "reward_model": Field("The reward model.", "`reward`", UNJUDGED),
        "instruct_reward": Field(
            "Its raw score of the response; compare it with scores of the same model only.",
            "`reward`",
            UNJUDGED,
        ),
        "base_output": Field(
            "What the base model answered to the instruction.", "`base`", UNJUDGED
        ),
        "base_reward": Field("The reward of that answer.", "`reward`", UNJUDGED),
        "reward_difference": Field(
            "`instruct_reward` less `base_reward`: what alignment has gained here.",
            "`reward`",
            UNJUDGED,
        ),
        "min_neighbor_distance": Field(
            "Squared L2 distance of the instruction's unit embedding to the nearest other row's; "
            "0 is the same, 2 is unrelated.",
            "`neighbors`",
            "in a set of one row",
        ),
        "repeat_count": Field(
            "Rows nearer than the threshold.",
            "`neighbors`",
            IN_RAW,
        ),
        "min_similar_uuid": Field(
            "The first of the row's near-duplicates, itself included; or the row of a published "
            "set that it repeats.",
            "`neighbors`",
            "if there is none",
        ),
        "language": Field(
            "ISO 639-1 code of the instruction's language, in upper case.",
            "`language`",
            "if it cannot be said",
        ),
        "judge_failures": Field(
            "Judges that gave a reason instead of a label: `judge` and `reason`; mostly empty.",
            _US,
            IN_RAW,
        ),
        "reject_reason": Field(
            "Why the row is not in `default`.", _US, "if it is, and was delivered"
        ),
        "conversations": Field(
            "`messages` as ShareGPT has them: `from` (`human`, `gpt`) and `value`.", _US
        ),
    }
)
"""Descriptions by column; struct fields dotted, later turns under the name of the first."""


def describe(column: str) -> Field | None:
    """A column's description; None if there is no such column.

    Args:
        column: As published: "response", "response_3", "gen_input_configs.seed".
    """
    return FIELDS.get(_first(column))


def field_rows(info: Sequence[Mapping[str, Any]]) -> list[FieldRow]:
    """The table of fields: columns in their order, all turns together, those of `default` first.

    Args:
        info: As `magpie_hub.release.dataset_info.dataset_info` returns it.
    """
    everywhere: dict[str, str] = {}
    first_in: dict[str, Any] = {}
    for one in info:
        for name, kind in _columns(one["features"]):
            everywhere.setdefault(name, kind)
            first_in.setdefault(name, one)
    gathered: dict[str, list[str]] = {}
    for name in everywhere:
        gathered.setdefault(_first(name), []).append(name)
    rows = []
    for names in gathered.values():
        field = describe(names[0]) or Field("A column that this version does not know.", "–", "–")
        if len(names) > 1:  # A rejected row has no later turns.
            field = field._replace(null=IN_RAW)
        kind = everywhere[names[0]]
        home = first_in[names[0]]
        only = None if home is info[0] else str(home["config_name"])
        rows.append(FieldRow(tuple(names), kind, field, only))
    return rows


def _first(column: str) -> str:
    """The column of the first turn; a column without turns is its own."""
    found = _TURN.fullmatch(column)
    return found["name"] if column not in FIELDS and found and found["name"] in FIELDS else column


def _columns(features: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Columns and struct fields with their types."""
    for feature in features:
        yield feature["name"], _type(feature)
        for inner in feature.get("struct", ()):
            yield f"{feature['name']}.{inner['name']}", _type(inner)


def _type(feature: Any) -> str:
    """A type of the Hub's YAML form in words; that form differs between versions of `datasets`."""
    if isinstance(feature, str):
        return feature
    if isinstance(feature, list):
        return "{" + ", ".join(inner["name"] for inner in feature) + "}"
    for key in ("list", "sequence"):
        if key in feature:
            return f"list of {_type(feature[key])}"
    if "struct" in feature:
        return "struct"
    return str(feature.get("dtype", "unknown"))
