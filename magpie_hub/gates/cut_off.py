"""Gate `cut_off`: the words ran into the token limit.

Rule: the finish reason is "length", be it that of `max_tokens` or the end of the model's context
(`max_model_len`), which may leave no room for a single token. A cut instruction asks half a
question, and a cut response teaches a model to stop in mid-sentence. Source: the official Magpie
code never looks at the finish reason; its only guard is the trailing-colon rule (gate `colon`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role


@dataclass(frozen=True, slots=True)
class CutOff(Gate):
    """Rejects what the token limit ended."""

    name: ClassVar[str] = "cut_off"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "ran into the token limit"
    roles: ClassVar[tuple[Role, ...]] = ("user", "assistant")

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "cut_off"."""
        return self.name if message.finish_reason == "length" else None
