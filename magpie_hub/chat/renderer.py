"""Renders conversations to text: with a template and its forms, or with the recipe's own texts.

A renderer takes the words of a conversation that ends with the user's (u1, a1, u2, …). It returns
the text up to where the assistant begins to write, with the assistant's header and with thinking as
the recipe sets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from magpie_hub.chat.format import SystemStyle
from magpie_hub.chat.forms import Forms, find_forms
from magpie_hub.chat.template import OVERRIDE, SYSTEM_PROBE, WORDS, Template, locate
from magpie_hub.chat.thinking import closing
from magpie_hub.errors import ChatFormatError, one_line
from magpie_hub.recipe.chat import ChatOptions


class Renderer(Protocol):
    """Renders the words of a conversation to its text."""

    style: SystemStyle
    forms: Forms

    def __call__(self, words: Sequence[str], system: str | None) -> str:
        """Renders u1, a1, …, u(n+1), up to where the assistant writes.

        Raises:
            ChatFormatError: The conversation cannot be rendered.
        """
        ...


class TemplateRenderer:
    """Renders with a chat template: the tokenizer's own, or the recipe's in its place."""

    def __init__(self, tokenizer: Any, options: ChatOptions) -> None:
        """Finds out how the template writes a turn, and where it wants a system prompt.

        Raises:
            ChatFormatError: There is no template, or it renders nothing at all.
        """
        self._template = Template(tokenizer, options)
        self.forms = find_forms(self._template)
        self.style: SystemStyle = self._find_style()

    def __call__(self, words: Sequence[str], system: str | None) -> str:
        """Returns the conversation of these turns as the template writes it."""
        words = list(words)
        if system and self.style == "prefixed":
            words[0] = f"{system}\n\n{words[0]}"
            system = None
        text = self._apply(words, system if self.style != "prefixed" else None)
        if system and system.strip() not in text:
            raise ChatFormatError(
                "the chat template changes the text of this system prompt "
                f"({one_line(system, 40)!r}): change the prompt, or {OVERRIDE}"
            )
        return text

    def _apply(self, words: Sequence[str], system: str | None) -> str:
        text = self._template.render(self._template.messages(words, system))
        if self.forms.close is not None:
            text = f"{text.rstrip()}{self.forms.close}"
        return text + self.forms.rest

    def _find_style(self) -> SystemStyle:
        first, answer, second = WORDS
        bare = self._apply([first], None)
        try:
            text = self._apply([first], SYSTEM_PROBE)
        except ChatFormatError:
            return "prefixed"
        if SYSTEM_PROBE not in text:
            return "prefixed"
        try:
            two = self._apply([first, answer, second], SYSTEM_PROBE)
        except ChatFormatError:
            two = ""
        if -1 < two.find(answer) < two.find(SYSTEM_PROBE):
            return "in_last_user"
        opening = bare[: max(bare.find(first), 0)].rstrip()
        inside = bool(opening) and text[: text.find(SYSTEM_PROBE)].startswith(opening)
        return "in_first_user" if inside else "role"


class PieceRenderer:
    """Renders with the recipe's own pieces of text; missing ones come from a template."""

    def __init__(self, options: ChatOptions, base: TemplateRenderer | None) -> None:
        """Takes the pieces; `base` may be None if there is no template."""
        self._options = options
        self._base = base
        own = options.pre_query is not None or base is None
        self.style: SystemStyle = "prefixed" if own or base is None else base.style
        known = base.forms if base is not None else Forms()
        if options.post_query is not None:
            opened = closing(options.post_query) is not None
            known = replace(known, posts=(), prompt="", header="", opened=opened)
        if options.next_query is not None:
            known = replace(known, ends=())
        self.forms = known

    def __call__(self, words: Sequence[str], system: str | None) -> str:
        """Returns the conversation of these turns as the recipe's texts write it."""
        options, several = self._options, len(words) > 1
        pre, post, follow = options.pre_query, options.post_query, options.next_query
        past = post
        if pre is None:
            pre = self._pieces(words[:1], system, "pre_query")[0]
        elif system:
            pre = f"{pre}{system}\n\n"
        if post is None:
            post = self._pieces(words[:1], None, "post_query")[1]
            past = self._pieces(words[:3], None, "post_query")[1] if several else post
        if follow is None and several:
            follow = self._pieces(words[:3], None, "next_query")[2]
        text = pre + words[0]
        for index, word in enumerate(words[1:]):
            text += str(follow if index % 2 else past) + word
        return text + post

    def _pieces(self, words: Sequence[str], system: str | None, key: str) -> tuple[str, ...]:
        if self._base is None:
            raise ChatFormatError(
                f"the tokenizer has no chat template and the recipe no chat.{key}: {OVERRIDE}"
            )
        return locate(self._base(words, system), words)
