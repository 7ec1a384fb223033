"""Loop detection: the same rule for every engine that has to apply it itself."""

from __future__ import annotations

from collections.abc import Sequence

from magpie_hub.engines.base import LoopDetection


def loops(ids: Sequence[int], loop: LoopDetection) -> bool:
    """Whether the tail of `ids` is one pattern, `loop.count` times back to back."""
    for size in range(max(1, loop.min_pattern), loop.max_pattern + 1):
        length = size * loop.count
        if length > len(ids):
            return False
        # Cheap test first: most tails end in two tokens that differ.
        if ids[-1] == ids[-1 - size] and ids[-length:-size] == ids[size - length :]:
            return True
    return False
