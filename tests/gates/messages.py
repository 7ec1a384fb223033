"""Short ways to make the message that a gate looks at."""

from __future__ import annotations

from typing import Any

from magpie_hub.gates.base import Message


def user(text: str, **changes: Any) -> Message:
    """An instruction of the first turn that stopped by itself."""
    said: dict[str, Any] = {"role": "user", "turn": 1, "ids": (), "finish_reason": "stop"}
    return Message(text=text, **said | changes)


def assistant(text: str, **changes: Any) -> Message:
    """A response of the first turn that stopped by itself."""
    return user(text, **{"role": "assistant"} | changes)
