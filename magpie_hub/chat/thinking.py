"""Thinking: where a template opens and closes it, and which part of a completion is the answer.

The two marks are not taken from a table of models. A finished turn that holds a thought shows both.
If a template does not render thoughts, the generation prompts with and without thinking differ by
the marks, or a finished turn that drops the text between two known tags shows them. Only if none of
this works is the template's own text searched for a closing tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

_NAME = r"[\w:.-]*(?:think|thought|reason)[\w:.-]*"
THINK_TAG = rf"(?i:</?{_NAME}>)"
"""A tag of a thinking block, as a regular expression."""
_TAG = re.compile(r"<(/?)([A-Za-z][\w:.-]*)>\s*")
_PAIRS = (("[THINK]", "[/THINK]"), ("<|START_THINKING|>", "<|END_THINKING|>"))
_CLOSERS = re.compile(rf"</{_NAME}>|\[/THINK\]|<\|END_THINKING\|>", re.IGNORECASE)
_SPLIT = re.compile(r"""split\(\s*['"]([^'"]+)['"]""")
_MARK = re.compile(r"<[^<>\s]+>|\[[^\[\]\n]+\]")

DEFAULT = ("<think>", "</think>")
"""The marks that are assumed if the template shows none."""


def closing(text: str) -> str | None:
    """What would close the thinking block that `text` ends in, or None if none is open.

    Tags inside the block that are open as well ("<think><plan>") are closed with it.
    """
    tail = text.rstrip()
    for opened, close in _PAIRS:
        if tail.endswith(opened):
            return close
    run = re.search(r"(?:<[A-Za-z][\w:.-]*>\s*)+\Z", text)
    names = [name for _, name in _TAG.findall(run[0])] if run else []
    first = next((at for at, n in enumerate(names) if re.fullmatch(_NAME, n, re.IGNORECASE)), None)
    if first is None:
        return None
    return "".join(f"</{name}>" for name in reversed(names[first:]))


def pattern(mark: str) -> re.Pattern[str]:
    """Finds a mark in text, whatever white space stands between its parts."""
    parts = re.sub(r"(?<=[>\]])(?=[<\[])", " ", mark).split()
    return re.compile(r"\s*".join(re.escape(part) for part in parts))


def without_block(text: str, marks: tuple[str, str] | None) -> str:
    """A generation prompt or a header without the closed, empty thinking block that it ends in."""
    for opened, close in (*_PAIRS, *((marks,) if marks else ())):
        ends = rf"{pattern(close).pattern}\s*\Z"
        found = re.search(rf"{pattern(opened).pattern}\s*{ends}", text)
        if found is None and _MARK.fullmatch(close):
            found = re.search(ends, text)  # some templates close a block that they never opened
        if found is not None:
            return text[: found.start()]
    return re.sub(rf"(?i)<({_NAME})>\s*</\1>\s*\Z", "", text)


@dataclass(frozen=True, slots=True)
class Thought:
    """The template's text around a thought and behind it, in a finished turn."""

    before: str
    after: str


def marks_of_thought(thought: Thought, prompts: Iterable[str]) -> tuple[str, str] | None:
    """Open and close of a thought, by what the generation prompts without one share with it."""
    close = thought.after.strip()
    if not _MARK.search(close):
        return None
    before = thought.before
    shared = [(_common(before, prompt), prompt.rstrip()) for prompt in prompts]
    at = min((length for length, _ in shared if length), default=0)
    if at and all(len(prompt) > at for length, prompt in shared if length == at):
        # The prompt goes on in another way: back to where the word and its mark begin.
        while before[at - 1 : at].isalnum() and before[at : at + 1].isalnum():
            at -= 1
        for mark in _MARK.finditer(before):
            glued = mark.end() == at and before[at : at + 1].isalnum()
            if mark.start() < at < mark.end() or glued:
                at = mark.start()
    opened = before[at:].strip()
    return (opened, close) if opened else None


def marks_of_prompts(on: str, off: str) -> tuple[str, str] | None:
    """Open and close by the difference of the generation prompts with and without thinking."""
    close = closing(on)
    if close is not None:
        opened = _MARK.findall(on)[-1]
        return opened, close
    if on and off.startswith(on.rstrip()):
        block = off[len(on.rstrip()) :].strip()
        found = list(_MARK.finditer(block))
        if len(found) > 1 and found[-1].end() == len(block):
            return block[: found[-1].start()].strip(), found[-1][0]
    return None


def marks_in_source(source: str, lead: str = "") -> list[tuple[str, str]]:
    """Pairs of marks that a template's own text may cut a thought out by, likeliest first.

    Templates find a thought in an answer by splitting at its marks; a closing tag is known by its
    spelling too.

    Args:
        source: The template.
        lead: Plain words that may begin a thought, in place of the marks that do.
    """
    split = [mark for mark in _SPLIT.findall(source) if _MARK.fullmatch(mark)]
    closers = [*(mark for mark in split if not _CLOSERS.fullmatch(mark)), *_CLOSERS.findall(source)]
    pairs = []
    for close in closers:
        known = next((pair for pair in _PAIRS if pair[1] == close), None)
        if known or "</" in close:
            pairs.append(known or (close.replace("</", "<"), close))
        else:
            begins = [lead] if lead else split
            pairs += [(opened, close) for opened in begins if opened != close]
    return list(dict.fromkeys(pairs))


def _common(one: str, two: str) -> int:
    at = 0
    while at < min(len(one), len(two)) and one[at] == two[at]:
        at += 1
    return at


@dataclass(frozen=True)
class Thinking:
    """How thinking shows in what a model writes.

    Attributes:
        open: What begins it.
        close: What stands between it and the answer.
        known: Whether the template itself showed the marks; else they are the usual ones.
        opened: Whether the generation prompt has begun it already.
        header: What stands before an answer without thinking, where the generation prompt leaves
            that to the model; "" if nothing does.
    """

    open: str
    close: str
    known: bool = True
    opened: bool = False
    header: str = ""

    @cached_property
    def close_pattern(self) -> re.Pattern[str]:
        """Finds the end of thinking."""
        return pattern(self.close)

    @cached_property
    def header_pattern(self) -> re.Pattern[str] | None:
        """Finds the header of an answer at its start; None where there is none."""
        return re.compile(rf"\s*{pattern(self.header).pattern}") if self.header else None

    @cached_property
    def _begins(self) -> re.Pattern[str]:
        usual = "|".join(pattern(pair[0]).pattern for pair in (DEFAULT, *_PAIRS))
        return re.compile(rf"\s*(?:{pattern(self.open).pattern}|{usual})")

    def begins(self, text: str) -> bool:
        """Whether a text begins with a thought."""
        return self._begins.match(text) is not None

    def shows(self, text: str) -> bool:
        """Whether a text that should hold no thought holds one, or the end of one."""
        if self.begins(text):
            return True
        return self.known and self.close_pattern.search(text) is not None

    def again(self, answer: str) -> bool:
        """Whether an answer behind a thought falls back into thinking."""
        if self.shows(answer):
            return True
        mark = _MARK.search(self.open) is not None
        return mark and pattern(self.open).search(answer) is not None
