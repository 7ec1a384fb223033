"""Gate `empty`: a text without words.

Rule: the text holds no letter, no digit and no pictograph (an emoji can be an answer; a row of
dots or dashes cannot). Source: the official Magpie code drops no empty instruction at all, and
the published sets hold some; FineWeb and Gopher both ask for alphabetic words.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role

_LETTER_OR_DIGIT = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Empty(Gate):
    """Rejects a text without words."""

    name: ClassVar[str] = "empty"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "no words"
    roles: ClassVar[tuple[Role, ...]] = ("user", "assistant")

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "empty"."""
        text = message.text
        if _LETTER_OR_DIGIT.search(text):
            return None
        if any(unicodedata.category(char) == "So" for char in text):
            return None
        return self.name
