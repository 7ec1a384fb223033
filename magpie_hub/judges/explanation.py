"""Whether what a tagger writes in free words explains anything.

A regular expression can ask for words and not for sense. A small tagger fills the room with dashes,
with a line of its own prompt, or with the message that it was to sort. Such a reply is a failure,
its labels included: a tagger that did not read the message did not grade it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]{2,}|[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_RUN = 4
_COPIED = 0.5
"""More than this share of its runs of four words from the prompt makes a copy of a line of it."""

_SAID_AGAIN = 0.8
"""The same for the message, of which a good explanation may well hold some words."""


@dataclass(frozen=True)
class Explanations:
    """Looks at the explanations of one tagger.

    Attributes:
        prompt: The tagger's prompt, without any message.
    """

    prompt: str

    def failure(self, said: Mapping[str, str], instruction: str) -> str | None:
        """Why these explanations are none.

        Args:
            said: Explanations by the name of their line ("intent", "knowledge", "review").
            instruction: The message that was to be sorted.

        Returns:
            "no_words", "copied_message", "copied_prompt" or "repeated" (an earlier line, word for
            word), with the line's name behind a colon; None if all hold words of their own.
        """
        message = _words(instruction)
        seen: set[tuple[str, ...]] = set()
        for line, text in said.items():
            words = _words(text)
            if not _LETTERS.search(text):
                return f"no_words:{line}"
            if words == message or _share(words, message) > _SAID_AGAIN:
                return f"copied_message:{line}"
            if self._copies(words):
                return f"copied_prompt:{line}"
            if words in seen:
                return f"repeated:{line}"
            seen.add(words)
        return None

    def _copies(self, words: tuple[str, ...]) -> bool:
        if len(words) < _RUN:
            # Two words may name a field, and be a category of the prompt as well.
            return len(words) == _RUN - 1 and " ".join(words) in self._lines
        return _share(words, self._prompt_words) > _COPIED

    @cached_property
    def _prompt_words(self) -> tuple[str, ...]:
        return _words(self.prompt)

    @cached_property
    def _lines(self) -> frozenset[str]:
        return frozenset(_parts(self.prompt.splitlines()))


def _parts(lines: Iterable[str]) -> Iterable[str]:
    """Each line, and what stands before and behind its colon."""
    for line in lines:
        yield from map(_folded, (line, *line.split(":", 1)))


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))


def _folded(text: str) -> str:
    return " ".join(_words(text))


def _share(words: tuple[str, ...], source: tuple[str, ...]) -> float:
    """Share of the runs of four words that stand in the source, in [0, 1]."""
    runs, known = _runs(words), set(_runs(source))
    return sum(run in known for run in runs) / len(runs) if runs else 0.0


def _runs(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [words[at : at + _RUN] for at in range(len(words) - _RUN + 1)]
