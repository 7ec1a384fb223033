"""One question and its answer as token ids, under the chat template of the model that judges.

The ids begin with the tokenizer's BOS exactly once, whether its template writes one or not: the
published rewards were computed so. They never depend on the day.
"""

from __future__ import annotations

from typing import Any

from magpie_hub.chat.codec import Codec, Ids
from magpie_hub.chat.trial import try_out
from magpie_hub.errors import ChatFormatError, ModelError, one_line
from magpie_hub.judges.sanitize import escape_special_tokens, special_marks
from magpie_hub.models.source import ModelSource, load_tokenizer
from magpie_hub.recipe.chat import ChatOptions

_PROBE = ("first 1v1 user", "first 2v2 answer")


class Conversations:
    """Encodes conversations of one turn for a judge.

    Args:
        tokenizer: The judge's tokenizer, with a chat template.
        name: The model's name, for messages.

    Raises:
        ModelError: It has no chat template, or one that does not take such a conversation.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                f"{name} has no chat template, so how it reads a conversation is unknown; name a "
                "model whose tokenizer has one."
            )
        self._tokenizer = tokenizer
        self._codec = Codec.of(tokenizer)
        self._marks = special_marks(self._codec)
        try:
            try_out(lambda: [self._render(*_PROBE, ask=ask) for ask in (False, True)])
            text = self._render(*_PROBE, ask=False)
        except ChatFormatError as error:
            raise ModelError(f"{name} cannot judge an answer: {error}.") from error
        if missing := [words for words in _PROBE if words not in text]:
            side = "question" if missing[0] == _PROBE[0] else "answer"
            raise ModelError(
                f"{name} cannot judge an answer: its chat template leaves the {side} out; name a "
                "model that reads a question and its answer."
            )

    @classmethod
    def of(cls, source: ModelSource, *, trust_remote_code: bool = False) -> Conversations:
        """Loads the tokenizer of a fetched model.

        Raises:
            ModelError: It does not load, or has no chat template that takes an answer.
        """
        return cls(load_tokenizer(source, trust_remote_code), source.name)

    def encode(self, instruction: str, response: str, *, ask: bool = False) -> Ids:
        """Token ids of a question and its answer.

        Args:
            instruction: The user's text, any at all.
            response: The answer to it.
            ask: Whether the model is to write next, as a guard does.

        Raises:
            ChatFormatError: The template refuses this text.
        """
        question, answer = (
            escape_special_tokens(text, self._marks) for text in (instruction, response)
        )
        return self._codec.encode_prompt(self._render(question, answer, ask=ask), question)

    def decode(self, ids: Ids) -> str:
        """Text of what the model wrote, white space at both ends cut."""
        return self._codec.decode(ids).strip()

    def _render(self, instruction: str, response: str, *, ask: bool) -> str:
        date = ChatOptions().date
        try:
            text = self._tokenizer.apply_chat_template(
                [
                    {"role": "user", "content": instruction},
                    {"role": "assistant", "content": response},
                ],
                tokenize=False,
                add_generation_prompt=ask,
                date_string=date,
                # A render argument shadows the global of that name, which reads the clock.
                strftime_now=lambda form: date,
            )
        except MemoryError:
            raise  # it ends the template's trial
        except Exception as error:  # a template may raise anything
            said = one_line(error)
            raise ChatFormatError(f"its chat template refuses a conversation ({said})") from error
        return str(text)
