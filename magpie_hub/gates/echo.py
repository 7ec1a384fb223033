"""Gate `echo`: the answer says the instruction again.

Rules:

* `start`: the answer begins with the first sentence of the instruction, word for word, of at least
  `min_words` words, in the case and spelling of either;
* `whole`: of the answer's 4-grams of words, more than `max_copied` are in the instruction, and the
  instruction holds no text to work on.

Not caught on purpose: a heading or a line in bold that repeats the question and is followed by its
answer; an instruction that begins with code or that holds a text to be edited, completed or
repeated, which belongs in the answer; instructions in which the asking and the text are one
sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role, check_integer, check_share
from magpie_hub.gates.words import words

_SENTENCE_END = re.compile(r"[.!?。！？](?=[\s\"'”)]|$)|\n")
_HEADING = re.compile(r"\s*(?:#{1,6} |\*\*|__|> )")
# A text is handed over: behind a colon, between quotation marks, below the request, or as code.
_MATERIAL = re.compile(r"[:：]\s|\n\s*\S|[\"“”«»`]|(?<!\w)['‘]\w")
_WANTS_IT_BACK = re.compile(
    r"\b(?:repeat|complete|continue|finish|edit|rewrite|rephrase|paraphrase|correct|fix|proofread"
    r"|copy|translate|summari[sz]e|punctuat\w+|capitali[sz]e|extend|expand|fill in|next (?:line"
    r"|word)"
    r"|say|recite|quote|story|poem|song|lyrics|sentence|paragraph|begin(?:s|ning)?|start(?:s"
    r"|ing)?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Echo(Gate):
    """Rejects an answer that says the instruction again.

    Attributes:
        min_words: Shorter first sentences may come again, and shorter answers are not measured.
        max_copied: Share of the answer's 4-grams of words that may be in the instruction.
    """

    name: ClassVar[str] = "echo"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "says the instruction again"
    roles: ClassVar[tuple[Role, ...]] = ("assistant",)

    min_words: int = 5
    max_copied: float = 0.6

    def __post_init__(self) -> None:
        check_integer(self.name, "min_words", self.min_words, 4, 1_000)
        check_share(self.name, "max_copied", self.max_copied)

    def __call__(self, message: Message) -> str | None:
        """Returns None, "echo:start" or "echo:whole"."""
        asked = message.instruction
        reason = self._look(message, asked) if asked else None
        # Asked last: most answers are no echo, and this costs the most.
        return None if reason is None or _WANTS_IT_BACK.search(asked) else reason

    def _look(self, message: Message, asked: str) -> str | None:
        sentence = _SENTENCE_END.split(asked.strip(), maxsplit=1)[0]
        first = _words(sentence)
        if len(first) >= self.min_words:
            # As long as the sentence and a little more: words differ in what stands between them.
            opening = _words(message.text[: 2 * len(sentence) + 20])
            # A word or two may stand before it: a label, a quotation's "So,".
            starts = (opening[at : at + len(first)] for at in range(3))
            if first in starts and not _HEADING.match(message.text):
                return f"{self.name}:start"
        if len(message.text) > 4 * len(asked) or _MATERIAL.search(asked.strip()):
            return None
        grams = _grams(_words(message.text))
        if len(grams) + 3 < self.min_words:
            return None
        copied = sum(gram in known for known in [set(_grams(_words(asked)))] for gram in grams)
        return f"{self.name}:whole" if copied > self.max_copied * len(grams) else None


def _words(text: str) -> list[str]:
    return words(text.lower())


def _grams(words: list[str]) -> list[tuple[str, ...]]:
    return list(zip(words, words[1:], words[2:], words[3:], strict=False))
