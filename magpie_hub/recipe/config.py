"""The fields of a recipe, their types, ranges and defaults.

Every model here is frozen and strict: an unknown key, a wrong type or numbers that do not add up
are refused (`magpie_hub.recipe.load` turns pydantic's findings into one line). A field whose
schema says ``override`` may be changed for one run: it bears the same name as a command-line
option, a builder keyword and a ``MAGPIE_*`` environment variable (`magpie_hub.recipe.overrides`).
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from magpie_hub.recipe.base import MOST, Line, Name, PublicName, Section, Words
from magpie_hub.recipe.judges import KEYS, Judges
from magpie_hub.recipe.names import check_language, check_license, check_repo_id
from magpie_hub.recipe.regenerate import Regenerate
from magpie_hub.recipe.selection import Selection
from magpie_hub.text import is_http

# vLLM takes no more, nor do servers that speak OpenAI's protocol.
Temperature = Annotated[float, Field(ge=0, le=2)]
Mass = Annotated[float, Field(gt=0, le=1)]


def _is_address(text: str) -> str:
    """An http address; a message never repeats it, since a password may stand in it."""
    if not is_http(text):
        raise ValueError(
            "should be an http or https address with a port that there is, for example "
            "http://127.0.0.1:8000/v1"
        )
    return text


Address = Annotated[Words, AfterValidator(_is_address)]


def _json_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json_lists(item) for key, item in value.items()}
    return [_json_lists(item) for item in value] if isinstance(value, tuple) else value


class Loop(Section):
    """When generated text counts as looping; the engine ends it at once.

    The defaults end a text whose last 5 stretches of 4 to 32 tokens are the same: 20 tokens of
    one word, or one sentence said five times.
    """

    min_pattern: int = Field(4, ge=1, le=MOST)
    max_pattern: int = Field(32, ge=1, le=MOST)
    count: int = Field(5, ge=2, le=MOST)

    @model_validator(mode="after")
    def _ordered(self) -> Loop:
        if self.min_pattern > self.max_pattern:
            raise ValueError(
                f"min_pattern ({self.min_pattern}) is above max_pattern ({self.max_pattern})"
            )
        return self


class Point(Section):
    """One point of the sampling grid, with the number of rows drawn at it."""

    temperature: Temperature = 1.0
    top_p: Mass = 1.0
    top_k: int = Field(0, ge=0, le=MOST, description="0 is off.")
    min_p: float = Field(0.0, ge=0, lt=1, description="0 is off.")
    rows: int = Field(ge=1, le=MOST, description="Rows at this point, of the grid's `rows`.")


class Grid(Section):
    """The sampling grid of first instructions.

    `rows` is the size of the set that the grid describes; the points' rows add up to it. Rows of
    a run of any size are spread in these proportions.
    """

    rows: int = Field(1, ge=1, le=MOST)
    points: tuple[Point, ...] = Field((Point(rows=1),), min_length=1)

    @model_validator(mode="after")
    def _adds_up(self) -> Grid:
        total = sum(point.rows for point in self.points)
        if total != self.rows:
            raise ValueError(f"the points' rows add up to {total}, not to the grid's {self.rows}")
        return self


class SystemPrompt(Section):
    """A system prompt for first instructions, drawn in proportion to its weight."""

    name: Name
    weight: int = Field(1, ge=1, le=MOST)
    text: Words


class Instruct(Section):
    """How the first user turn is drawn."""

    grid: Grid = Grid()
    max_tokens: int = Field(2048, ge=1, le=MOST)
    systems: tuple[SystemPrompt, ...] = Field(
        (), description="Weighted system prompts that steer the topic; none by default."
    )
    loop: Loop | None = Loop()

    @model_validator(mode="after")
    def _distinct(self) -> Instruct:
        names = [system.name for system in self.systems]
        if len(set(names)) != len(names):
            raise ValueError("two system prompts bear the same name")
        return self


class Respond(Section):
    """How responses are drawn; greedy by default, as in the paper (App. E.1)."""

    temperature: Temperature = 0.0
    top_p: Mass = 1.0
    top_k: int = Field(0, ge=0, le=MOST)
    min_p: float = Field(0.0, ge=0, lt=1)
    repetition_penalty: float = Field(1.0, gt=0, le=2)
    max_tokens: int = Field(4096, ge=1, le=MOST)
    loop: Loop | None = Loop()


class LaterTurns(Section):
    """How user turns after the first are drawn.

    `system` is seen by the model for user turns only: it keeps a small model in the user's role
    (section 2.2 of arXiv 2406.08464v2). Responses never see it.
    """

    system: Words | None = (
        "A person and an AI assistant are in the middle of a conversation. Each new message from "
        "the person builds on what was said before: it asks for more depth, questions a point, "
        "changes a condition or moves on to something closely related. The assistant answers "
        "each message on its own merits, clearly and helpfully."
    )
    temperature: Temperature = 1.0
    top_p: Mass = 1.0
    top_k: int = Field(0, ge=0, le=MOST)
    min_p: float = Field(0.0, ge=0, lt=1)
    max_tokens: int = Field(2048, ge=1, le=MOST)
    loop: Loop | None = Loop()


class Gates(Section):
    """Which gates are at work, and when.

    A gate's value is true, false, or a mapping of that gate's parameters.
    """

    before_responding: bool = Field(
        True, description="False pays for the response of a rejected instruction too, as the paper."
    )
    duplicate: bool = Field(True, description="Of equal first instructions the lowest row stays.")
    rules: dict[str, bool | dict[str, JsonValue]] = Field(default_factory=dict)

    @field_validator("rules", mode="before")
    @classmethod
    def _lists(cls, given: Any) -> Any:
        return _json_lists(given)


_TAKEN = {
    "messages": "the run makes them",
    "conversation": "the run makes it",
    "tools": "rows hold no tool calls",
    "documents": "rows hold no documents",
    "add_generation_prompt": "the run sets it",
    "continue_final_message": "the run sets it",
    "chat_template": "use chat.template",
    "date_string": "use chat.date",
    "strftime_now": "use chat.date",
    **dict.fromkeys(
        (
            *("tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict"),
            *("return_assistant_tokens_mask", "tokenizer_kwargs", "self"),
        ),
        "it is no variable of a template",
    ),
}
"""Names that a template is given by the run, or that the tokenizer takes for itself."""


class Chat(Section):
    """Overrides of the derived chat format; the texts may name special tokens."""

    template: Words | None = Field(None, description="A Jinja chat template in place of the own.")
    date: Words = Field("26 Jul 2024", description="What a template that asks for today is told.")
    thinking: bool = Field(False, description="Let a reasoning model think before it answers.")
    template_kwargs: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Variables that the chat template is given, as plain JSON values.",
    )
    pre_query: Words | None = None
    post_query: Words | None = None
    next_query: Words | None = None
    stop: tuple[Words, ...] = ()

    @field_validator("template_kwargs", mode="before")
    @classmethod
    def _lists(cls, given: Any) -> Any:
        # A recipe's lists come as tuples, which are no JSON.
        return _json_lists(given)

    @field_validator("template_kwargs")
    @classmethod
    def _variables(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in given:
            if not name.isidentifier():
                raise ValueError(f"{name!r} is no name of a variable")
            if (other := _TAKEN.get(name)) is not None:
                raise ValueError(f"{name} is not for a recipe to give: {other}")
        try:
            json.dumps(given, allow_nan=False)
        except (ValueError, RecursionError):
            raise ValueError("plain JSON values only: no NaN, no infinity") from None
        return given

    @model_validator(mode="after")
    def _one_word_on_thinking(self) -> Chat:
        for name in ("enable_thinking", "thinking"):
            said = self.template_kwargs.get(name)
            if isinstance(said, bool) and said is not self.thinking:
                raise ValueError(
                    f"template_kwargs.{name} ({str(said).lower()}) contradicts thinking "
                    f"({str(self.thinking).lower()}): set chat.thinking"
                )
        return self


class Card(Section):
    """What the dataset card cannot compute."""

    pretty_name: Line | None = None
    license: Line | None = Field(None, description="Hub licence id; the generator's by default.")
    language: tuple[Line, ...] | None = Field(
        None, description="Codes of its languages; by default those that the judge language found."
    )
    tags: tuple[Line, ...] = ()
    blocks: dict[Name, Words] = Field(
        default_factory=dict,
        description="Markdown in place of a block of the card's template, by the block's name; "
        "{{ super() }} stands for what it replaces.",
    )
    beside: tuple[Line, ...] = Field(
        (),
        description="Instruction sets to show beside this one on the coverage map: "
        "release folders or dataset names.",
    )

    @field_validator("license")
    @classmethod
    def _license(cls, said: str | None) -> str | None:
        return said and check_license(said)

    @field_validator("language")
    @classmethod
    def _language(cls, codes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return codes and tuple(check_language(code) for code in codes)


class Hub(Section):
    """Where `push` publishes, and what was reviewed before."""

    repo_id: Line | None = Field(
        None, description="NAMESPACE/NAME; magpie-NAME of whoever pushes by default."
    )
    private: bool = False
    collection: Line | None = Field(
        None, description="Title of the namespace's collection that the dataset is put into."
    )
    reviewed: tuple[Words, ...] = Field(
        (),
        description="Findings of the scan for secrets and personal data that a person has "
        "looked at and let pass.",
    )

    @field_validator("repo_id")
    @classmethod
    def _repo_id(cls, said: str | None) -> str | None:
        return said and check_repo_id(said)


def _overridable(default: Any, help: str, **limits: Any) -> Any:
    return Field(default, description=help, json_schema_extra={"override": True}, **limits)


class Recipe(Section):
    """Everything that determines a dataset.

    Sections follow the flow: instruct, respond, later turns, gates, judges, selection, card, hub,
    regenerate. Top-level scalars marked as overrides may be overridden for one run.
    """

    name: Name
    description: Words

    rows: int = _overridable(1000, "Rows delivered, exactly.", ge=1, le=MOST)
    oversample: float = _overridable(
        1.0, "Passing rows per delivered row; the longest responses of them are kept.", ge=1, le=100
    )
    turns: int = _overridable(1, "User turns of each conversation.", ge=1, le=8)
    seed: int = _overridable(42, "Seed of the whole recipe.", ge=0, lt=2**63)
    min_yield: float = _overridable(
        0.05, "Give up when a smaller share of the last 200 rows passes.", ge=0, le=1
    )

    model: Line = _overridable(..., "The generator: a Hub id or a folder.")
    model_name: PublicName | None = _overridable(
        None,
        "What the generator is called in rows and on the card, where it is a folder of this "
        "machine; a push asks for it.",
    )
    model_revision: Line | None = _overridable(None, "Commit, branch or tag of the generator.")
    memory_gib: float | None = Field(
        None,
        gt=0,
        description="Device memory that the generator needs; checked before it is fetched.",
    )
    trust_model_code: bool = _overridable(False, "Let the model's repository run its own code.")

    judging: Literal["auto", "on", "off"] = _overridable(
        "auto",
        "off leaves judges and selection out; auto does so, when a run names another model, with "
        "the judges that cannot work here; on insists on all of them.",
    )

    engine: Literal["auto", "vllm", "transformers", "server"] = _overridable(
        "auto", "auto takes vLLM if it can run here, else transformers."
    )
    base_url: Address | None = _overridable(
        None, "OpenAI-compatible server of the generator, with engine server.", repr=False
    )
    max_num_seqs: int | None = _overridable(
        None, "Slots: sequences decoded at once.", ge=1, le=MOST
    )
    max_model_len: int | None = _overridable(None, "Context length in tokens.", ge=16, le=MOST)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = _overridable(
        "auto", "Weights' dtype."
    )
    quantization: Line | None = _overridable(None, "vLLM quantization method, for example fp8.")
    tensor_parallel_size: int | None = _overridable(
        None, "GPUs for one copy of the model.", ge=1, le=MOST
    )
    data_parallel_size: int = _overridable(1, "Copies of the model.", ge=1, le=MOST)
    gpu_memory_utilization: float | None = _overridable(
        None, "Share of a GPU's memory that vLLM may take.", gt=0, le=1
    )
    enforce_eager: bool | None = _overridable(
        None, "Skip compilation: a sooner start, slower decoding."
    )
    batch_invariant: bool = _overridable(
        False,
        "vLLM's mode whose tokens do not depend on what else is in the batch: on GPUs, slower.",
    )
    in_process: bool | None = _overridable(None, "Run vLLM's core in the calling process.")
    engine_args: dict[str, JsonValue] = Field(
        default_factory=dict, description="Any other field of vLLM's EngineArgs, by name."
    )

    chat: Chat = Chat()
    instruct: Instruct = Instruct()
    respond: Respond = Respond()
    later_turns: LaterTurns = LaterTurns()
    gates: Gates = Gates()
    judges: Judges = Judges()
    selection: Selection = Selection()
    card: Card = Card()
    hub: Hub = Hub()
    regenerate: Regenerate = Regenerate()

    @field_validator("engine_args", mode="before")
    @classmethod
    def _lists(cls, given: Any) -> Any:
        return _json_lists(given)

    @field_validator("judging", mode="before")
    @classmethod
    def _switch(cls, given: Any) -> Any:
        # YAML reads on and off, without quotes, as true and false.
        return {True: "on", False: "off"}[given] if isinstance(given, bool) else given

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        if self.base_url is not None and self.engine not in ("auto", "server"):
            raise ValueError(f"base_url goes with engine server, not with engine {self.engine}")
        if self.engine == "server" and self.base_url is None:
            raise ValueError("engine server needs base_url, for example http://127.0.0.1:8000/v1")
        if lacking := self.selection.needs() - set(self.judges.names):
            named = ", ".join(sorted(f"judges.{KEYS.get(name, name)}" for name in lacking))
            raise ValueError(f"the selection needs labels of judges that are off: {named}")
        if self.oversample > 1 and not self.selection.longest:
            raise ValueError("oversample is for selection.longest, which is off")
        tags = self.judges.tags
        if tags and tags.before_responding and tags.model not in (None, self.model):
            raise ValueError(
                "judges.tags.before_responding tags with the generator; leave judges.tags.model out"
            )
        if tags and tags.before_responding and self.selection.min_quality is None:
            raise ValueError(
                "judges.tags.before_responding needs selection.min_quality, which says what is "
                "worth a response"
            )
        return self
