"""The forms of a template: one turn in every state, and what they show about answers and thoughts.

Unless thinking is wanted, the template's own switch for it is looked for. A thinking block that is
open all the same is closed at once, without text. If a finished answer has a longer header than the
generation prompt writes, the rest is added to the prompt, so that the model need not write it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from magpie_hub.chat.template import WORDS, Template
from magpie_hub.chat.thinking import (
    Thought,
    closing,
    marks_in_source,
    marks_of_prompts,
    marks_of_thought,
    without_block,
)

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
"""Variables that switch a template's thinking off and on, beside `enable_thinking` and `thinking`.
A variable is tried only if the template names it. Of its words those are tried that the template
names too, or the first if the variable has words only."""


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
        close: What is added to the generation prompt to end a block that it leaves open.
        rest: What is added after that, the rest of an answer's header.
    """

    posts: tuple[str, ...] = ()
    prompt: str = ""
    ends: tuple[str, ...] = ()
    header: str = ""
    opened: bool = False
    marks: tuple[str, str] | None = None
    switch: Mapping[str, Any] = field(default_factory=dict)
    close: str | None = None
    rest: str = ""


def find_forms(template: Template) -> Forms:
    """Tries a template in every state; from then on it gets the variable that switches thinking."""
    return _Finder(template).find()


class _Finder:
    def __init__(self, template: Template) -> None:
        self._template = template
        self._source = template.source
        self._options = template.options

    def find(self) -> Forms:
        """Renders one turn in every state; finds the switch, the marks, and what is left out."""
        thinking = self._options.thinking
        on, off = (self._prompt(self._template.told(wanted)) for wanted in (True, False))
        plain = self._prompt(dict(self._options.template_kwargs))
        if on is None and off is None and plain is None:
            return Forms()
        thought = self._find_thought()
        first = [prompt for prompt in (on, off, plain) if prompt is not None]
        past, end = self._finished()
        known = [*first, *([past] if past else [])]
        marks = marks_of_thought(thought, known) if thought is not None else None
        switch = self._find_switch(on, off, thought if marks else None)
        self._template.variables.update(switch)
        prompt = self._prompt(self._template.variables) or ""
        past, end = self._finished()
        last, last_end = self._last()
        finished = [piece for piece in (past, last) if piece is not None]
        if marks is None:
            thought = None
            marks = self._search_marks(on or "", prompt if switch and not thinking else off, past)
        opened = self._is_open(prompt, thought, marks)
        close = self._closer(prompt, thought, marks) if opened and not thinking else None
        if close is not None:
            prompt = f"{prompt.rstrip()}{close}"
        rest = _left_out(prompt, finished, marks)
        return Forms(
            posts=(prompt, *first, *finished),
            prompt=without_block(prompt, marks),
            ends=tuple(piece for piece in (end, last_end) if piece is not None),
            header=rest.strip(),
            opened=opened and thinking,
            marks=marks,
            switch=switch,
            close=close,
            rest="" if thinking else rest,
        )

    def _prompt(self, variables: Mapping[str, Any]) -> str | None:
        """The generation prompt after one user turn, as the template itself writes it."""
        pieces = self._template.pieces(
            self._template.messages(WORDS[:1], None), WORDS[:1], variables
        )
        return pieces[-1] if pieces else None

    def _finished(self) -> tuple[str | None, str | None]:
        """What stands before a finished answer and behind it, where another turn follows."""
        pieces = self._template.pieces(self._template.messages(WORDS, None), WORDS)
        return (pieces[1], pieces[2]) if pieces else (None, None)

    def _last(self) -> tuple[str | None, str | None]:
        """The same where the answer is the last message."""
        words = WORDS[:2]
        pieces = self._template.pieces(self._template.messages(words, None), words, ask=False)
        return (pieces[1], pieces[2]) if pieces else (None, None)

    def _find_thought(self) -> Thought | None:
        """How the template writes a thought into a finished turn; None where it does not."""
        words = (WORDS[0], _THOUGHT, WORDS[1])
        user, answer = self._template.messages(WORDS[:2], None)
        keys = ("reasoning_content", "thinking", "reasoning", "thought")
        ways: list[dict[str, Any]] = [dict.fromkeys(keys, _THOUGHT)]
        ways += [{key: _THOUGHT} for key in keys]
        part = {"type": "text", "text": WORDS[1]}
        ways.append({"content": [{"type": "thinking", "thinking": _THOUGHT}, part]})
        for way in ways:
            for variables in (self._template.told(True), {**self._options.template_kwargs}):
                messages = [user, {**answer, **way}]
                pieces = self._template.pieces(messages, words, variables, ask=False)
                # A template that takes only text prints the parts in Python's notation.
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
            prompt = self._prompt({**self._template.told(wanted), key: value})
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
            said = f"{opened}\n{_THOUGHT}\n{close}\n\n{WORDS[1]}"
            messages = self._template.messages((WORDS[0], said, WORDS[2]), None)
            pieces = self._template.pieces(messages, WORDS)
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
