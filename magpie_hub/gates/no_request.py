"""Gate `no_request`: an instruction that asks nothing.

Rule: an English instruction has no question mark, no sentence that begins with a question word or
with a verb in the imperative ("Write", "Please explain", "Let's plan"), and none of the phrases by
which people ask ("I need", "I'd like", "help me", "tell me", "looking for", "any advice", …).

Not caught on purpose: instructions in other languages or scripts than English, which its words
do not fit; code, formulas and numbers; later turns, in which people also answer. A keyword
("kitchen remodel ideas") asks nothing by this rule, and a statement that opens a
conversation neither, so the gate is off unless a recipe asks for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role
from magpie_hub.gates.requests import ASKS

_ENGLISH = re.compile(
    r"\b(?:the|and|of|to|are|that|for|with|my|your|this|have|has|you|it|from|by|as|at)\b",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"[=+*/^<>{}\\;]|\d\s*[-×÷]\s*\d")


@dataclass(frozen=True, slots=True)
class NoRequest(Gate):
    """Rejects an English instruction that asks nothing."""

    name: ClassVar[str] = "no_request"
    version: ClassVar[int] = 2
    doc: ClassVar[str] = "asks nothing"
    opt_in: ClassVar[bool] = True
    roles: ClassVar[tuple[Role, ...]] = ("user",)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "no_request"."""
        text = message.text.strip()
        if message.turn > 1 or "?" in text or "？" in text or ASKS.search(text):
            return None
        # A keyword or two in plain letters are taken for English, and what else has its words.
        english = _ENGLISH.search(text) or (text.isascii() and len(text.split()) < 4)
        return self.name if english and not _FORMULA.search(text) else None
