"""Gate `repetition`: the text goes round in circles.

Rules, each with its own reason:

* `loop`: the engine ended the completion because its tail was a loop.
* `run`: a word of 60 or more letters that is one short pattern over and over ("hahaha…").
* `words`: 15 to 60 words, numbers and single letters aside, of which at most one in five is a new
  one ("no no no no …").
* From `min_words` words on, measured on the prose alone, without fenced code, display formulas
  and table rows, in which repetition is form:
  `lines`: more than `max_duplicate_lines` of the lines stood there before;
  `phrase`: the commonest 4-gram of words makes up more than `max_top_4gram` of the letters and
  occurs five times or more;
  `copies`: more than `max_duplicate_10gram` of the 10-grams of words stood there before.
* `copies` again on the whole text, code and tables included, at a threshold halfway between
  `max_duplicate_10gram` and 1: a code block can loop, too.

Chinese and Japanese count by the character.

Source of the measures: Gopher's repetition rules (Rae et al. 2021, arXiv 2112.11446, table A1:
duplicate lines 0.30, top 4-gram 0.16, duplicate 10-grams 0.10), as also used for MassiveText's
heirs (FineWeb, Dolma). Their thresholds are made for web pages of many hundred words. Lyrics with
a chorus, worked examples and quizzes are legitimate in a conversation and exceed them, so that the
defaults here ask for a text that is half a copy of itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role, check_integer, check_share
from magpie_hub.gates.words import words as words_of

_LONG_WORD = re.compile(r"[^\W\d_]{60,}")
_FORM = re.compile(
    r"```.*?(?:```|\Z)|\$\$.*?\$\$|\\\[.*?\\\]|^[ \t]*\|.*?$", re.DOTALL | re.MULTILINE
)
_FORM_BEGINS = ("```", "$$", "\\[", "|")


@dataclass(frozen=True, slots=True)
class Repetition(Gate):
    """Rejects degenerate repetition.

    Attributes:
        min_words: The measures on prose apply from this many words on.
        max_duplicate_lines: Share of lines that repeat an earlier one, in [0, 1].
        max_top_4gram: Share of the letters held by the commonest 4-gram of words, in [0, 1].
        max_duplicate_10gram: Share of 10-grams of words that repeat an earlier one, in [0, 1].
    """

    name: ClassVar[str] = "repetition"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "goes round in circles"
    roles: ClassVar[tuple[Role, ...]] = ("user", "assistant")

    min_words: int = 50
    max_duplicate_lines: float = 0.5
    max_top_4gram: float = 0.3
    max_duplicate_10gram: float = 0.5

    def __post_init__(self) -> None:
        check_integer(self.name, "min_words", self.min_words, 10, 1_000_000)
        for name in ("max_duplicate_lines", "max_top_4gram", "max_duplicate_10gram"):
            check_share(self.name, name, getattr(self, name))

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "repetition:" with the rule that was broken."""
        reason = "loop" if message.finish_reason == "repetition" else self._look(message.text)
        return reason and f"{self.name}:{reason}"

    def _look(self, text: str) -> str | None:
        if any(map(_is_run, _long_words(text))):
            return "run"
        words = words_of(text)
        if 15 <= len(words) < 120:
            # Digits and variables repeat in any calculation; one CJK character is a word.
            spoken = [w for w in words if not w.isdigit() and (len(w) > 1 or w > "\u3000")]
            if 15 <= len(spoken) < 60 and len(set(spoken)) * 5 <= len(spoken):
                return "words"
        if len(words) < self.min_words:
            return None
        prose = text
        if any(mark in text for mark in _FORM_BEGINS):
            prose = _FORM.sub("\n", text)
        if len(prose) == len(text):
            prose_words = words
        else:
            if _copied(words, (1 + self.max_duplicate_10gram) / 2):
                return "copies"
            prose_words = words_of(prose)
            if len(prose_words) < self.min_words:
                return None
        lines = [line for line in map(str.strip, prose.splitlines()) if line]
        if len(lines) >= 6 and 1 - len(set(lines)) / len(lines) > self.max_duplicate_lines:
            return "lines"
        return _judge(prose_words, self.max_duplicate_10gram, self.max_top_4gram)


def _is_run(word: str) -> bool:
    """Whether the word's last 60 letters are one pattern of at most ten letters."""
    tail = word[-60:]
    return any(tail[size:] == tail[:-size] for size in range(1, 11))


def _long_words(text: str) -> list[str]:
    """Runs of 60 letters or more."""
    # Such a run holds one of these pieces whole; looking at every letter would cost the most.
    pieces = (text[at : at + 30] for at in range(0, len(text) - 29, 30))
    return _LONG_WORD.findall(text) if any(map(str.isalnum, pieces)) else []


def _copied(words: Sequence[str], most: float) -> bool:
    """Whether more than this share of the 10-grams of words repeat an earlier one."""
    grams = max(1, len(words) - 9)
    # A word that is new begins a 10-gram that is new, unless it is one of the last nine.
    if 1 - (len(set(words)) - 9) / grams <= most:
        return False
    return 1 - len(set(zip(*(words[i:] for i in range(10)), strict=False))) / grams > most


def _judge(words: Sequence[str], max_copies: float, max_phrase: float) -> str | None:
    grams = len(words) - 3
    distinct = len(set(_four_grams(words)))
    # A 10-gram that repeats begins with a 4-gram that repeats, so the costlier count is rare.
    if 1 - distinct / grams > max_copies / 2 and _copied(words, max_copies):
        return "copies"
    if grams - distinct < 4:
        return None
    gram, count = Counter(_four_grams(words)).most_common(1)[0]
    if count < 5:
        return None
    return "phrase" if sum(map(len, gram)) * count > max_phrase * sum(map(len, words)) else None


def _four_grams(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(words, words[1:], words[2:], words[3:], strict=False)
