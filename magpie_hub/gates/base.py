"""The gate contract: look at one finished piece of text, return None or a reason.

A gate is cheap (microseconds, no model), pure, and knows nothing of rows or engines. Its file
holds the rule and says where the rule comes from; the list of gates is in `gates/__init__.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from magpie_hub.engines.base import FinishReason

Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a gate looks at: one side of one turn, just finished.

    Attributes:
        role: Whose words these are.
        turn: 1 for the first turn of the conversation.
        text: The words, decoded and stripped, special tokens left visible.
        ids: Their token ids.
        finish_reason: Why the engine ended them.
        special_ids: Ids of the tokenizer's special tokens.
        markers: Role headers of the chat template as text ("<|start_header_id|>assistant",
            "### Response:", "ASSISTANT:"), none of which belongs in anybody's words.
        instruction: What an answer answers, the user's words of the same turn; "" for a user's.
        fault: What the chat format found wrong with them before any gate, as a reason: "thinking",
            "unfinished_thinking" or "empty". Nothing half is published, whatever gates are on.
    """

    role: Role
    turn: int
    text: str
    ids: tuple[int, ...]
    finish_reason: FinishReason
    special_ids: frozenset[int] = frozenset()
    markers: tuple[str, ...] = ()
    instruction: str = ""
    fault: str | None = None


class Gate(Protocol):
    """A rule with a name."""

    @property
    def name(self) -> str:
        """Its key in a recipe, and the reason in the funnel."""
        ...

    @property
    def version(self) -> int:
        """Raised when its code changes, or that of what it imports: then it may judge otherwise."""
        ...

    @property
    def roles(self) -> tuple[Role, ...]:
        """Whose words it looks at."""
        ...

    def __call__(self, candidate: Candidate) -> str | None:
        """Returns None to pass, or the reason (the gate's name, or `name:detail`)."""
        ...
