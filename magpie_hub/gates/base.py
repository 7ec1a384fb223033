"""The gate contract: look at one finished text, return None or a reason.

A gate is cheap (microseconds, no model), pure, and knows nothing of rows or engines. Its file holds
the rule and says where the rule comes from. `gates/registry.py` lists the gates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from magpie_hub.engines.base import FinishReason
from magpie_hub.errors import RecipeError

Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One side of one turn, just finished: what a gate looks at.

    Attributes:
        role: Who wrote the text.
        turn: 1 for the first turn of the conversation.
        text: The text, decoded and stripped, special tokens left visible; of a response without
            its thinking.
        ids: Token ids as the model wrote them, thinking included, without white space around an
            instruction and after a response.
        finish_reason: Why the engine ended it.
        instruction: For a response, the instruction of the same turn; else "".
        fault: What the chat format found wrong before any gate, as a reason: "thinking",
            "unfinished_thinking" or "empty". No half response is published, whatever gates are on.
        special_token: Whether one of the tokenizer's special tokens is in the text.
        markers: Role headers of the chat template as text ("<|start_header_id|>assistant",
            "### Response:", "ASSISTANT:"), none of which belongs in a text.
    """

    role: Role
    turn: int
    text: str
    ids: tuple[int, ...]
    finish_reason: FinishReason
    instruction: str = ""
    fault: str | None = None
    special_token: bool = False
    markers: tuple[str, ...] = ()


class Gate(ABC):
    """A rule with a name: derive a frozen dataclass, whose fields are the rule's parameters.

    Attributes:
        name: Key in a recipe, and the reason in the funnel.
        version: Raise it when a verdict may change, through the gate's code or what it imports.
        doc: What the rejected texts have in common, in a few words for the card.
        opt_in: Off unless a recipe asks for it. For rules that depend on what the rows are for.
    """

    __slots__ = ()

    name: ClassVar[str]
    version: ClassVar[int]
    doc: ClassVar[str]
    opt_in: ClassVar[bool] = False

    @property
    @abstractmethod
    def roles(self) -> tuple[Role, ...]:
        """Whose texts it looks at."""

    @abstractmethod
    def __call__(self, message: Message) -> str | None:
        """Returns None to pass, or the reason (the gate's name, or `name:detail`)."""

    def check_installed(self) -> None:  # noqa: B027 (most gates need nothing)
        """Raises UserError if a package that the gate needs is not installed; imports nothing."""


def check_integer(gate: str, name: str, value: object, low: int, high: int) -> None:
    """Raises RecipeError unless `value` is a whole number in [low, high] (a bool is not)."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RecipeError(
            f"gate {gate}: {name} must be a whole number from {low} to {high}, not {value!r}"
        )


def check_share(gate: str, name: str, value: object) -> None:
    """Raises RecipeError unless `value` is a number in [0, 1] (a bool is not)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise RecipeError(f"gate {gate}: {name} must be a number from 0 to 1, not {value!r}")


def check_flag(gate: str, name: str, value: object) -> None:
    """Raises RecipeError unless `value` is true or false."""
    if not isinstance(value, bool):
        raise RecipeError(f"gate {gate}: {name} must be true or false, not {value!r}")


def check_roles(gate: str, value: object) -> None:
    """Raises RecipeError unless `value` names one side or both: "user", "assistant"."""
    known = get_args(Role)
    if not isinstance(value, tuple) or not value or any(role not in known for role in value):
        raise RecipeError(f"gate {gate}: roles knows user and assistant, not {value!r}")
