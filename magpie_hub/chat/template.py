"""A chat template, rendered: the tokenizer's own, or the recipe's in its place.

It knows how the template is called and with which variables, and nothing of what it renders. The
result never depends on the day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from magpie_hub.errors import ChatFormatError, one_line
from magpie_hub.recipe.chat import ChatOptions

OVERRIDE = (
    "set chat.template, or chat.pre_query and chat.post_query (and chat.next_query for several "
    "turns), in the recipe"
)
"""What the user can do about every refusal."""

SYSTEM_PROBE = "Keep to 7v7 the plan"
WORDS = ("first 1v1 user", "second 2v2 answer", "third 3v3 user")
"""Words of a user, of an assistant, and of a user again, for trying a template."""


def locate(text: str, words: Sequence[str]) -> tuple[str, ...]:
    """Splits a rendered text at its words: one piece more than there are words.

    Raises:
        ChatFormatError: A word is missing, changed, out of order or doubled.
    """
    pieces, start = [], 0
    for word in words:
        at = text.find(word)
        if at < start:
            how = "drops or changes" if at < 0 else "reorders"
            raise ChatFormatError(f"the chat template {how} the words of a turn; {OVERRIDE}")
        if text.find(word, at + 1) >= 0:
            raise ChatFormatError(f"the chat template repeats the words of a turn; {OVERRIDE}")
        pieces.append(text[start:at])
        start = at + len(word)
    return (*pieces, text[start:])


class Template:
    """Renders conversations as a chat template writes them.

    Attributes:
        options: What the recipe says under `chat:`.
        source: The template's text.
        variables: The variables that the template gets.
    """

    def __init__(self, tokenizer: Any, options: ChatOptions) -> None:
        """Finds out how the template must be called.

        Raises:
            ChatFormatError: There is no template.
        """
        if options.template is None and not getattr(tokenizer, "chat_template", None):
            raise ChatFormatError(
                f"the tokenizer has no chat template (a base model?): {OVERRIDE}, or name an "
                "instruct model"
            )
        self._tokenizer = tokenizer
        self.options = options
        self.source = str(options.template or tokenizer.chat_template)
        self.variables = self.told(options.thinking)
        self._in_parts: frozenset[str] = frozenset()
        self._tools: list[Any] | None = None
        self._find_manner()

    def messages(self, words: Sequence[str], system: str | None) -> list[dict[str, Any]]:
        """A conversation of u1, a1, u2, … as messages."""
        said = [] if system is None else [("system", system)]
        said += [("assistant" if at % 2 else "user", word) for at, word in enumerate(words)]
        return [
            {
                "role": role,
                "content": [{"type": "text", "text": w}] if role in self._in_parts else w,
            }
            for role, w in said
        ]

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        variables: Mapping[str, Any] | None = None,
        *,
        ask: bool = True,
    ) -> str:
        """The text of messages.

        Args:
            messages: The conversation.
            variables: The variables that the template gets; `self.variables` by default.
            ask: Whether the assistant writes next.

        Raises:
            ChatFormatError: The template refuses.
        """
        try:
            text = self._tokenizer.apply_chat_template(
                list(messages),
                tools=self._tools,
                chat_template=self.options.template,
                tokenize=False,
                add_generation_prompt=ask,
                date_string=self.options.date,
                # A render argument shadows the global of that name, which reads the clock.
                strftime_now=self._date,
                **(self.variables if variables is None else variables),
            )
        except MemoryError:
            raise  # it ends the template's trial
        except Exception as error:  # a template may raise anything
            detail = one_line(error)
            count = sum(message["role"] == "user" for message in messages)
            turns = f"{count} turn{'s' if count > 1 else ''}"
            if "is undefined" in detail:
                detail += " (chat.template_kwargs can give it)"
            raise ChatFormatError(
                f"the chat template refuses a conversation of {turns}: {detail}; {OVERRIDE}"
            ) from error
        return str(text)

    def pieces(
        self,
        messages: Sequence[Mapping[str, Any]],
        words: Sequence[str],
        variables: Mapping[str, Any] | None = None,
        *,
        ask: bool = True,
    ) -> tuple[str, ...] | None:
        """The text around the words of a conversation; None if it cannot be found."""
        try:
            return locate(self.render(messages, variables, ask=ask), words)
        except ChatFormatError:
            return None

    def told(self, thinking: bool) -> dict[str, Any]:
        """The default variables of a template; the recipe's own override them."""
        both = {"enable_thinking": thinking, "thinking": thinking}
        return {**both, **self.options.template_kwargs}

    def _find_manner(self) -> None:
        """How the template must be called: words as parts of a message, an empty list of tools.

        Plain text and no list are tried first. If a template drops the words of a role, or refuses,
        the other forms are tried; one that changes nothing is not used.
        """
        plain: frozenset[str] = frozenset()
        every = frozenset(("user", "assistant", "system"))
        for tools, parts in ((None, plain), (None, every), ([], plain), ([], every)):
            self._tools, self._in_parts = tools, parts
            if self._takes(WORDS[:1], None):
                break
        else:
            self._tools, self._in_parts = None, plain
        for role, system in (("assistant", None), ("system", SYSTEM_PROBE)):
            words = WORDS[:1] if system else WORDS
            if not self._takes(words, system):
                kept = self._in_parts
                self._in_parts = kept ^ {role}
                if not self._takes(words, system):
                    self._in_parts = kept

    def _takes(self, words: Sequence[str], system: str | None) -> bool:
        """Whether the template writes all words of a conversation."""
        try:
            text = self.render(self.messages(words, system))
        except ChatFormatError:
            return False
        # A template that takes only text prints the parts in Python's notation.
        return "{'type': 'text'" not in text and all(
            said in text for said in (*words, *([system] if system else []))
        )

    def _date(self, form: str) -> str:
        try:
            return datetime.strptime(self.options.date, "%d %b %Y").strftime(form)
        except ValueError:  # a date in the recipe's own words goes in as it is
            return self.options.date
