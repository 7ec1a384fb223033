"""Conversations to text: a tokenizer's own template, or a recipe's pieces of text around it.

A renderer takes the words of a conversation that ends with the user's (u1, a1, u2, …) and gives
the whole text up to where the assistant begins to write. What it renders never depends on the
day. Unless thinking is wanted, a template's own switch for it is looked for, a thinking block that
is open all the same is closed empty, and what the template writes before a finished answer beyond
its generation prompt stands in the prompt: the header of an answer is not left to the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from magpie_hub.chat.codec import one_line
from magpie_hub.chat.format import ChatOptions, SystemStyle
from magpie_hub.chat.thinking import (
    Thought,
    closing,
    marks_in_source,
    marks_of_prompts,
    marks_of_thought,
    without_block,
)
from magpie_hub.errors import ChatFormatError

OVERRIDE = (
    "set chat.template, or chat.pre_query and chat.post_query (and chat.next_query for several "
    "turns), in the recipe"
)
"""The way out of every refusal."""

_SYSTEM_PROBE = "Keep to 7v7 the plan"
_WORDS = ("first 1v1 user", "second 2v2 answer", "third 3v3 user")
_THOUGHT = "fourth 4v4 thought"

_OFF = (
    *("disabled", "disable", "off", "none", "no_think", "nothink", "no-think", "no_thinking"),
    *("non-thinking", "non_thinking", "non-think", "direct", "fast", "instant", "chat"),
)
_ON = ("enabled", "enable", "on", "think", "thinking", "deep", "high")
_SWITCHES: Mapping[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "thinking_mode": (_OFF, _ON),
    "reasoning_mode": (_OFF, _ON),
    "reasoning_effort": (_OFF, _ON),
    "thinking_effort": (_OFF, _ON),
    "reasoning": ((False, *_OFF), (True, *_ON)),
    "enable_reasoning": ((False,), (True,)),
    "force_reasoning": ((False,), (True,)),
    "skip_reasoning": ((True,), (False,)),
    "disable_thinking": ((True,), (False,)),
    "think": ((False,), (True,)),
    "use_thinking": ((False,), (True,)),
    "thinking_budget": ((0,), ()),
    "reasoning_budget": ((0,), ()),
}
"""Variables by which templates are told to think or not, beside `enable_thinking` and `thinking`:
what switches it off, and what on. One is tried only where the template names it, and of the words
those that the template names too, or the first of a variable that has words alone."""


class Renderer(Protocol):
    """Words of a conversation to its text."""

    style: SystemStyle
    forms: Forms

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


@dataclass(frozen=True, slots=True)
class Forms:
    """How a template writes one turn in each of its states, as text.

    Attributes:
        posts: What stands between the user's words and the answer: thinking as wanted, on, off,
            not spoken of, and in finished turns.
        prompt: The bare generation prompt: without a thinking block, and without what only
            finished turns have.
        ends: What follows a finished answer.
        header: What the generation prompt leaves out of a finished answer's header.
        opened: Whether the generation prompt leaves a thinking block open.
        marks: What opens a thinking block and what closes it, if the template shows that.
        switch: Variables, found by trying, that switch thinking as wanted.
    """

    posts: tuple[str, ...] = ()
    prompt: str = ""
    ends: tuple[str, ...] = ()
    header: str = ""
    opened: bool = False
    marks: tuple[str, str] | None = None
    switch: Mapping[str, Any] | None = None


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
        self._source = str(options.template or tokenizer.chat_template)
        self._variables = self._told(options.thinking)
        self._in_parts: frozenset[str] = frozenset()
        self._tools: list[Any] | None = None
        self._find_manner()
        self._close: str | None = None
        self._rest = ""
        self.forms = self._find_forms()
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
        """A conversation up to where the assistant writes, its header and thinking as wanted."""
        text = self._render(self._messages(words, system))
        if self._options.thinking:
            return text
        if self._close is not None:
            text = f"{text.rstrip()}{self._close}"
        return text + self._rest

    def _messages(self, words: Sequence[str], system: str | None) -> list[dict[str, Any]]:
        said = [] if system is None else [("system", system)]
        said += [("assistant" if at % 2 else "user", word) for at, word in enumerate(words)]
        return [
            {
                "role": role,
                "content": [{"type": "text", "text": w}] if role in self._in_parts else w,
            }
            for role, w in said
        ]

    def _render(
        self,
        messages: Sequence[Mapping[str, Any]],
        variables: Mapping[str, Any] | None = None,
        *,
        ask: bool = True,
    ) -> str:
        try:
            text = self._tokenizer.apply_chat_template(
                list(messages),
                tools=self._tools,
                chat_template=self._options.template,
                tokenize=False,
                add_generation_prompt=ask,
                date_string=self._options.date,
                # A render argument shadows the global of that name, which reads the clock.
                strftime_now=self._date,
                **(self._variables if variables is None else variables),
            )
        except MemoryError:
            raise  # it ends the template's trial
        except Exception as error:  # a template may raise anything
            detail = one_line(error) or type(error).__name__
            count = sum(message["role"] == "user" for message in messages)
            turns = f"{count} turn{'s' if count > 1 else ''}"
            raise ChatFormatError(
                f"the chat template refuses a conversation of {turns}: {detail}; {OVERRIDE}"
            ) from error
        return str(text)

    def _told(self, thinking: bool) -> dict[str, Any]:
        """What a template is told first; the recipe's own variables stand above it."""
        both = {"enable_thinking": thinking, "thinking": thinking}
        return {**both, **self._options.template_kwargs}

    def _find_manner(self) -> None:
        """How the template wants to be asked: words as parts of a message, a list of no tools.

        Plain text and no list come first; where a template drops the words of a role, or refuses,
        the others are tried, and what changes nothing is left as it is.
        """
        plain: frozenset[str] = frozenset()
        every = frozenset(("user", "assistant", "system"))
        for tools, parts in ((None, plain), (None, every), ([], plain), ([], every)):
            self._tools, self._in_parts = tools, parts
            if self._takes(_WORDS[:1], None):
                break
        else:
            self._tools, self._in_parts = None, plain
        for role, system in (("assistant", None), ("system", _SYSTEM_PROBE)):
            words = _WORDS[:1] if system else _WORDS
            if not self._takes(words, system):
                kept = self._in_parts
                self._in_parts = kept ^ {role}
                if not self._takes(words, system):
                    self._in_parts = kept

    def _takes(self, words: Sequence[str], system: str | None) -> bool:
        """Whether the template writes all of a conversation as it was said."""
        try:
            text = self._render(self._messages(words, system))
        except ChatFormatError:
            return False
        # A template that takes text alone prints parts as Python spells them.
        return "{'type': 'text'" not in text and all(
            said in text for said in (*words, *([system] if system else []))
        )

    def _find_forms(self) -> Forms:
        """Renders one turn in every state; finds the switch, the marks, and what is left out."""
        thinking = self._options.thinking
        on, off = (self._prompt(self._told(wanted)) for wanted in (True, False))
        plain = self._prompt(dict(self._options.template_kwargs))
        if on is None and off is None and plain is None:
            return Forms()
        thought = self._find_thought()
        first = [prompt for prompt in (on, off, plain) if prompt is not None]
        past, end = self._finished()
        known = [*first, *([past] if past else [])]
        marks = marks_of_thought(thought, known) if thought is not None else None
        switch = self._find_switch(on, off, thought if marks else None)
        self._variables.update(switch)
        prompt = self._prompt(self._variables) or ""
        past, end = self._finished()
        last, last_end = self._last()
        finished = [piece for piece in (past, last) if piece is not None]
        if marks is None:
            thought = None
            marks = self._search_marks(on or "", prompt if switch and not thinking else off, past)
        opened = self._is_open(prompt, thought, marks)
        if not thinking:
            if opened:
                self._close = self._closer(prompt, thought, marks)
                prompt = f"{prompt.rstrip()}{self._close}"
            self._rest = _left_out(prompt, finished, marks)
        return Forms(
            posts=(prompt, *first, *finished),
            prompt=without_block(prompt, marks),
            ends=tuple(piece for piece in (end, last_end) if piece is not None),
            header=(self._rest or _left_out(prompt, finished, marks)).strip(),
            opened=opened and thinking,
            marks=marks,
            switch=switch or None,
        )

    def _prompt(self, variables: Mapping[str, Any]) -> str | None:
        """The generation prompt after one user turn, as the template itself writes it."""
        pieces = self._pieces(self._messages(_WORDS[:1], None), _WORDS[:1], variables)
        return pieces[-1] if pieces else None

    def _finished(self) -> tuple[str | None, str | None]:
        """What stands before a finished answer and behind it, where another turn follows."""
        pieces = self._pieces(self._messages(_WORDS, None), _WORDS)
        return (pieces[1], pieces[2]) if pieces else (None, None)

    def _last(self) -> tuple[str | None, str | None]:
        """The same where the answer is the last thing that was said."""
        words = _WORDS[:2]
        pieces = self._pieces(self._messages(words, None), words, ask=False)
        return (pieces[1], pieces[2]) if pieces else (None, None)

    def _pieces(
        self,
        messages: Sequence[Mapping[str, Any]],
        words: Sequence[str],
        variables: Mapping[str, Any] | None = None,
        *,
        ask: bool = True,
    ) -> tuple[str, ...] | None:
        try:
            return locate(self._render(messages, variables, ask=ask), words)
        except ChatFormatError:
            return None

    def _find_thought(self) -> Thought | None:
        """How the template writes a thought into a finished turn; None where it does not."""
        words = (_WORDS[0], _THOUGHT, _WORDS[1])
        user, answer = self._messages(_WORDS[:2], None)
        keys = ("reasoning_content", "thinking", "reasoning", "thought")
        ways: list[dict[str, Any]] = [dict.fromkeys(keys, _THOUGHT)]
        ways += [{key: _THOUGHT} for key in keys]
        part = {"type": "text", "text": _WORDS[1]}
        ways.append({"content": [{"type": "thinking", "thinking": _THOUGHT}, part]})
        for way in ways:
            for variables in (self._told(True), {**self._options.template_kwargs}):
                messages = [user, {**answer, **way}]
                pieces = self._pieces(messages, words, variables, ask=False)
                # A template that takes text alone prints the parts as Python spells them.
                if pieces and "'type'" not in pieces[1]:
                    return Thought(pieces[1], pieces[2])
        return None

    def _find_switch(
        self, on: str | None, off: str | None, thought: Thought | None
    ) -> dict[str, Any]:
        """The variable that switches thinking as it is wanted, where the usual two do not."""
        wanted = self._options.thinking
        if wanted and on != off:
            return {}
        best, found = self._rank(off, on, thought), {}
        for key, value in self._candidates(wanted):
            prompt = self._prompt({**self._told(wanted), key: value})
            if prompt is None:
                continue
            if wanted and prompt != on and without_block(prompt, None) == prompt:
                return {key: value}
            if not wanted and (rank := self._rank(prompt, on, thought)) > best:
                best, found = rank, {key: value}
        return found

    def _rank(self, prompt: str | None, on: str | None, thought: Thought | None) -> int:
        """How surely a generation prompt keeps the model from thinking."""
        if prompt is None:
            return -1
        if self._is_open(prompt, thought):
            return 1  # closed by us
        if prompt != on or without_block(prompt, None) != prompt:
            return 2  # the template's own way
        return 0

    def _candidates(self, wanted: bool) -> Iterator[tuple[str, Any]]:
        for key, values in _SWITCHES.items():
            named = re.search(rf"(?<![\w.]){key}\b", self._source)
            if named is None or key in self._options.template_kwargs:
                continue
            words = [value for value in values[wanted] if isinstance(value, str)]
            spelt = [word for word in words if re.search(rf"['\"]{word}['\"]", self._source)]
            others = [value for value in values[wanted] if not isinstance(value, str)]
            yield from ((key, value) for value in others)
            yield from ((key, word) for word in spelt or words[: not others])

    def _search_marks(self, on: str, off: str | None, past: str | None) -> tuple[str, str] | None:
        """The marks where no thought is rendered: by the prompts, or by what is cut out."""
        found = marks_of_prompts(on, off or "")
        if found is not None:
            return found
        pairs = marks_in_source(self._source)
        if past is not None and on.startswith(past.rstrip()):
            # What only the prompt says begins a thought in plain words, if answers are cut by it.
            lead = on[len(past.rstrip()) :].strip()
            closers = dict.fromkeys(close for _, close in marks_in_source(self._source, lead))
            pairs = [*((lead, close) for close in closers if lead), *pairs]
        for opened, close in pairs:
            said = f"{opened}\n{_THOUGHT}\n{close}\n\n{_WORDS[1]}"
            messages = self._messages((_WORDS[0], said, _WORDS[2]), None)
            pieces = self._pieces(messages, _WORDS)
            if pieces and not any(_THOUGHT in piece for piece in pieces):
                return opened, close
        return next(
            (pair for pair in pairs if re.search("(?i)think|thought|reason", pair[1])), None
        )

    def _is_open(
        self, prompt: str, thought: Thought | None, marks: tuple[str, str] | None = None
    ) -> bool:
        same = thought is not None and prompt.rstrip() == thought.before.rstrip()
        named = marks is not None and prompt.rstrip().endswith(marks[0])
        return same or named or closing(prompt) is not None

    def _closer(self, prompt: str, thought: Thought | None, marks: tuple[str, str] | None) -> str:
        """What ends the block that a generation prompt opens, white space included."""
        if thought is not None and prompt.rstrip() == thought.before.rstrip():
            return thought.before[len(thought.before.rstrip()) :] + thought.after
        close = closing(prompt) or (marks[1] if marks else "")
        return f"\n\n{close}\n\n"

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


def _left_out(prompt: str, finished: Sequence[str], marks: tuple[str, str] | None) -> str:
    """What stands before a finished answer beyond the generation prompt; "" if white space."""
    bare = without_block(prompt, marks)
    for piece in finished:
        for before, whole in ((prompt, piece), (bare, without_block(piece, marks))):
            if whole.startswith(before):
                rest = whole[len(before) :]
                if rest.strip():
                    return rest
                break
    return ""


class PieceRenderer:
    """Renders with the recipe's own pieces of text, the rest taken from a template if need be."""

    def __init__(self, options: ChatOptions, base: TemplateRenderer | None) -> None:
        """Takes the pieces; `base` may be None when a template is not to be had."""
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
