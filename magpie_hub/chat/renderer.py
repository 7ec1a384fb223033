"""Conversations to text: a tokenizer's own template, or a recipe's pieces of text around it.

A renderer takes the words of a conversation that ends with the user's (u1, a1, u2, …) and gives
the whole text up to where the assistant begins to write. What it renders never depends on the
day, and a thinking block that the template opens is closed empty unless thinking is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from magpie_hub.chat.codec import one_line
from magpie_hub.chat.format import ChatOptions, SystemStyle
from magpie_hub.errors import ChatFormatError

OVERRIDE = (
    "set chat.template, or chat.pre_query and chat.post_query (and chat.next_query for several "
    "turns), in the recipe"
)
"""The way out of every refusal."""

_OPEN_BLOCK = re.compile(
    r"(?P<open><(?P<tag>[\w:]*(?:think|thought|reason)\w*)>|\[THINK\]|<\|START_THINKING\|>)\s*\Z",
    re.IGNORECASE,
)
_SYSTEM_PROBE = "Keep to 7v7 the plan"


class Renderer(Protocol):
    """Words of a conversation to its text."""

    style: SystemStyle

    def __call__(self, words: Sequence[str], system: str | None) -> str:
        """Renders u1, a1, …, u(n+1), up to where the assistant writes.

        Raises:
            ChatFormatError: The conversation cannot be rendered.
        """
        ...


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


def closing(text: str) -> str | None:
    """What would close the thinking block that `text` ends in, or None if none is open."""
    match = _OPEN_BLOCK.search(text)
    if match is None:
        return None
    if match["tag"]:
        return f"</{match['tag']}>"
    return "[/THINK]" if match["open"].startswith("[") else "<|END_THINKING|>"


class TemplateRenderer:
    """Renders with a chat template: the tokenizer's own, or the recipe's in its place."""

    def __init__(self, tokenizer: Any, options: ChatOptions) -> None:
        """Finds out where the template wants a system prompt.

        Raises:
            ChatFormatError: There is no template, or it renders nothing at all.
        """
        if options.template is None and not getattr(tokenizer, "chat_template", None):
            raise ChatFormatError(
                f"the tokenizer has no chat template (a base model?): {OVERRIDE}, or name an "
                "instruct model"
            )
        self._tokenizer = tokenizer
        self._options = options
        self.style: SystemStyle = self._find_style()

    def __call__(self, words: Sequence[str], system: str | None) -> str:
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
        messages = [] if system is None else [{"role": "system", "content": system}]
        for index, word in enumerate(words):
            messages.append({"role": "assistant" if index % 2 else "user", "content": word})
        options = self._options
        try:
            text = self._tokenizer.apply_chat_template(
                messages,
                chat_template=options.template,
                tokenize=False,
                add_generation_prompt=True,
                date_string=options.date,
                # A render argument shadows the global of that name, which reads the clock.
                strftime_now=self._date,
                enable_thinking=options.thinking,
                thinking=options.thinking,
            )
        except Exception as error:  # a template may raise anything
            detail = one_line(error) or type(error).__name__
            turns = f"{len(words) // 2 + 1} turn{'s' if len(words) > 1 else ''}"
            raise ChatFormatError(
                f"the chat template refuses a conversation of {turns}: {detail}; {OVERRIDE}"
            ) from error
        text = str(text)
        close = None if options.thinking else closing(text)
        return text if close is None else f"{text.rstrip()}\n\n{close}\n\n"

    def _date(self, form: str) -> str:
        try:
            return datetime.strptime(self._options.date, "%d %b %Y").strftime(form)
        except ValueError:  # a date in the recipe's own words goes in as it is
            return self._options.date

    def _find_style(self) -> SystemStyle:
        first, answer, second = "first 1v1 user", "first 2v2 answer", "second 3v3 user"
        bare = self._apply([first], None)
        try:
            text = self._apply([first], _SYSTEM_PROBE)
        except ChatFormatError:
            return "prefixed"
        if _SYSTEM_PROBE not in text:
            return "prefixed"
        try:
            two = self._apply([first, answer, second], _SYSTEM_PROBE)
        except ChatFormatError:
            two = ""
        if -1 < two.find(answer) < two.find(_SYSTEM_PROBE):
            return "in_last_user"
        opening = bare[: max(bare.find(first), 0)].rstrip()
        inside = bool(opening) and text[: text.find(_SYSTEM_PROBE)].startswith(opening)
        return "in_first_user" if inside else "role"


class PieceRenderer:
    """Renders with the recipe's own pieces of text, the rest taken from a template if need be."""

    def __init__(self, options: ChatOptions, base: TemplateRenderer | None) -> None:
        """Takes the pieces; `base` may be None when a template is not to be had."""
        self._options = options
        self._base = base
        own = options.pre_query is not None or base is None
        self.style: SystemStyle = "prefixed" if own or base is None else base.style

    def __call__(self, words: Sequence[str], system: str | None) -> str:
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
