"""Short ways to make a gate's candidate."""

from __future__ import annotations

from typing import Any

from magpie_hub.gates.base import Candidate


def user(text: str, **changes: Any) -> Candidate:
    """An instruction of the first turn that stopped by itself."""
    return Candidate(
        **{"role": "user", "turn": 1, "text": text, "ids": (), "finish_reason": "stop"} | changes
    )


def assistant(text: str, **changes: Any) -> Candidate:
    """A response of the first turn that stopped by itself."""
    return user(text, **{"role": "assistant"} | changes)
