"""Gate `length`: too few or too many words.

Rule: the text has fewer than `min_words` words, or more than `max_words`. Words are what white
space divides; Chinese and Japanese count by the character. The gate is off unless a recipe asks
for it: "Yes." can be the best of answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role, check_integer, check_roles

_CHARACTER = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Length(Gate):
    """Rejects words that are too few or too many.

    Attributes:
        min_words: Fewer are too few.
        max_words: More are too many.
        roles: Whose words are counted.
    """

    name: ClassVar[str] = "length"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "too short or too long"

    min_words: int
    max_words: int = _MOST
    roles: tuple[Role, ...] = ("assistant",)

    def __post_init__(self) -> None:
        check_integer(self.name, "min_words", self.min_words, 0, _MOST)
        check_integer(self.name, "max_words", self.max_words, max(1, self.min_words), _MOST)
        check_roles(self.name, self.roles)

    def __call__(self, message: Message) -> str | None:
        """Returns None, "length:short" or "length:long"."""
        text = message.text
        words = len(text.split())
        if not text.isascii():
            words += len(_CHARACTER.findall(text))
        if words < self.min_words:
            return f"{self.name}:short"
        return f"{self.name}:long" if words > self.max_words else None
