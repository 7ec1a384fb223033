"""Gate `system_prompt`: an instruction that tells the assistant what it is.

Rule: the instruction begins as a system prompt does: "You are an AI assistant …", "You're a helpful
chatbot …", "As a large language model, you …", "The user wants …". Models whose own system prompt
is of this kind, and small ones above all, write it again where a user's message should stand.
With `any_role`, other roles as well ("You are a travel guide"), which people do hand out. Not
caught on purpose: questions ("Are you an AI?").

People write such messages too, so the gate is off unless a recipe asks for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role, check_flag

_ASSISTANT = (
    r"(?:ai\b(?! \w+er\b)|a\.i\.|artificial intelligence|(?:large )?language model|llm\b|chat ?bot"
    r"|(?:virtual |digital |personal |helpful |friendly |intelligent )*assistant\b(?! \w+er\b))"
)
_A = rf"(?:an?|the|my) (?:[\w-]+ ){{0,2}}?{_ASSISTANT}"
_BEGINS = re.compile(
    rf"\W*(?:(?:you are|you['’]re|you will be|you will act as) (?:now )?{_A}"
    rf"|the user (?:wants|asks|asked|needs|has|is|would)\b|as {_A}[^.!?\n]{{0,40}}?,? (?:you"
    rf"|your)\b)",
    re.IGNORECASE,
)

_ANY_ROLE = re.compile(
    rf"{_BEGINS.pattern}|\W*(?:you are|you['’]re|you will be) (?:now )?(?:an?|the|my)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SystemPromptGate(Gate):
    """Rejects an instruction that begins as a system prompt does.

    Attributes:
        any_role: Also reject one that hands out another role than an assistant's.
    """

    name: ClassVar[str] = "system_prompt"
    version: ClassVar[int] = 3
    doc: ClassVar[str] = "tells the assistant what it is"
    opt_in: ClassVar[bool] = True
    roles: ClassVar[tuple[Role, ...]] = ("user",)

    any_role: bool = False

    def __post_init__(self) -> None:
        check_flag(self.name, "any_role", self.any_role)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "system_prompt"."""
        begins = _ANY_ROLE if self.any_role else _BEGINS
        return self.name if begins.match(message.text) else None
