"""Gate `leak`: the chat template shows through the words.

Rule: the ids hold a special token, or the text holds one of the template's role headers
(`Message.markers`), letter for letter and in its own case: the model went on to write the next
turn itself. Headers are looked for as the template spells them, never as plain words: "assistant"
in a question is a word (a marker that is one bare word is therefore ignored).

Source: the official Magpie code stops generation at the strings "assistant" and newline instead,
which cuts legitimate queries that hold either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role


@dataclass(frozen=True, slots=True)
class Leak(Gate):
    """Rejects special tokens and role headers inside the words."""

    name: ClassVar[str] = "leak"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "the chat template shows through"
    roles: ClassVar[tuple[Role, ...]] = ("user", "assistant")

    def __call__(self, message: Message) -> str | None:
        """Returns None, "leak:special_token" or "leak:marker"."""
        if message.special_token:
            return f"{self.name}:special_token"
        for marker in message.markers:
            header = marker.strip()
            if header and not header.isalpha() and header in message.text:
                return f"{self.name}:marker"
        return None
