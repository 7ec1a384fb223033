"""Whether what a tagger writes in free words explains anything.

A regular expression can ask for words and not for sense. A small tagger fills the room with dashes,
with a line of its own prompt, or with the message that it was to sort. Such a reply is a failure,
its labels included: a tagger that did not read the message did not grade it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]{2,}|[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_RUN = 4
_COPIED = 0.5
"""More than this share of its runs of four words from the prompt makes a copy of a line of it."""

_SAID_AGAIN = 0.8
"""The same for the message, of which a good explanation may well hold some words."""

Words = tuple[str, ...]


def explanation_failure(
    explanations: Mapping[str, str], instruction: str, prompt: str
) -> str | None:
    """Why explanations explain nothing.

    Args:
        explanations: By the name of their line ("intent", "knowledge", "review").
        instruction: The message that was to be sorted.
        prompt: The tagger's prompt, without any message.

    Returns:
        "no_words", "copied_message", "copied_prompt" or "repeated" (an earlier line, word for
        word), with the line's name behind a colon; None if all hold words of their own.
    """
    message = _words(instruction)
    message_runs = set(_runs(message))
    prompt_runs, prompt_lines = _known(prompt)
    seen: set[Words] = set()
    for line, text in explanations.items():
        words = _words(text)
        if not _LETTERS.search(text):
            return f"no_words:{line}"
        if words == message or _share(words, message_runs) > _SAID_AGAIN:
            return f"copied_message:{line}"
        # Of two words no line is a copy: they may name a field, and be a category as well.
        if _share(words, prompt_runs) > _COPIED or (
            len(words) == _RUN - 1 and words in prompt_lines
        ):
            return f"copied_prompt:{line}"
        if words in seen:
            return f"repeated:{line}"
        seen.add(words)
    return None


@lru_cache(4)
def _known(prompt: str) -> tuple[frozenset[Words], frozenset[Words]]:
    """A prompt's runs of four words; its lines, and what is before and behind their colons."""
    parts = {part for line in prompt.splitlines() for part in (line, *line.split(":", 1))}
    return frozenset(_runs(_words(prompt))), frozenset(map(_words, parts))


def _words(text: str) -> Words:
    return tuple(_WORD.findall(text.lower()))


def _runs(words: Words) -> list[Words]:
    return [words[at : at + _RUN] for at in range(len(words) - _RUN + 1)]


def _share(words: Words, known: Collection[Words]) -> float:
    """Share of the runs of four words that are known, in [0, 1]."""
    runs = _runs(words)
    return sum(run in known for run in runs) / len(runs) if runs else 0.0
