"""Recipe section `chat`: the parts of a chat format that do not come from the tokenizer."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field, JsonValue, field_validator, model_validator

from magpie_hub.recipe.base import Section, Words, json_lists

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
"""Names that the run passes to a template, or that are arguments of the tokenizer."""


class ChatOptions(Section):
    """Overrides of the derived chat format; the texts may hold special tokens."""

    template: Words | None = Field(
        None, description="A Jinja chat template in place of the model's."
    )
    date: Words = Field(
        "26 Jul 2024", description="The date for templates that ask for today's date."
    )
    thinking: bool = Field(False, description="Let a reasoning model think before it answers.")
    template_kwargs: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Variables for the chat template, as plain JSON values.",
    )
    pre_query: Words | None = Field(
        None,
        description="Text in place of the derived pre-query template; a system prompt is put "
        "between it and the first words.",
    )
    post_query: Words | None = Field(
        None, description="Text between the user's words and the answer, in place of the derived."
    )
    next_query: Words | None = Field(
        None, description="Text between an answer and the next user turn, in place of the derived."
    )
    stop: tuple[Words, ...] = Field(
        (), description="Tokens, by their text, that end a completion besides the derived ones."
    )

    @field_validator("template_kwargs", mode="before")
    @classmethod
    def _lists(cls, given: Any) -> Any:
        # A recipe's lists come as tuples, which are no JSON.
        return json_lists(given)

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
    def _one_word_on_thinking(self) -> ChatOptions:
        for name in ("enable_thinking", "thinking"):
            said = self.template_kwargs.get(name)
            if isinstance(said, bool) and said is not self.thinking:
                raise ValueError(
                    f"template_kwargs.{name} ({str(said).lower()}) contradicts thinking "
                    f"({str(self.thinking).lower()}): set chat.thinking"
                )
        return self
