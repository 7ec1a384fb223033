"""The progress line: rows, rejects by reason, tokens per second, busy slots, remaining time.

Each judge gets a line of its own: rows labelled.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import NoReturn, TextIO

from tqdm import tqdm

from magpie_hub.generate.scheduler import Progress


class LiveLine:
    """Shows a run on a terminal; where there is none, a line every ten seconds.

    Args:
        terminal: Where to write.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._bar: tqdm[NoReturn] | None = None
        self._stage = ""
        self._tokens = 0.0
        self._seconds = 0.0
        self._pace = 0.0

    def say(self, text: str) -> None:
        """Writes a line above the progress line."""
        with tqdm.external_write_mode(file=self._terminal):
            print(text, file=self._terminal, flush=True)

    def __call__(self, progress: Progress) -> None:
        """Takes news of the run."""
        if progress.stage != self._stage:
            self.close()
            self._stage = progress.stage
        bar = self._bar = self._bar or self._open(progress)
        bar.n = min(progress.passed, progress.wanted)
        if progress.stage == "rows":
            bar.set_postfix_str(self._state(progress), refresh=False)
        bar.update(0)

    def _open(self, progress: Progress) -> tqdm[NoReturn]:
        return tqdm(
            total=progress.wanted,
            initial=progress.passed,
            unit="row",
            file=self._terminal,
            dynamic_ncols=True,
            mininterval=0.2 if self._terminal.isatty() or "ipykernel" in sys.modules else 10,
            bar_format=f"{{n_fmt}}/{{total_fmt}} {progress.stage} |{{bar:12}}| "
            "{elapsed}<{remaining}{postfix}",
        )

    def _state(self, progress: Progress) -> str:
        seconds = progress.seconds - self._seconds
        if seconds > 0:
            pace = (progress.engine.decoded_tokens - self._tokens) / seconds
            # Smoothed, so that the figure can be read.
            self._pace = pace if not self._pace else 0.7 * self._pace + 0.3 * pace
            self._tokens, self._seconds = progress.engine.decoded_tokens, progress.seconds
        busy = progress.engine.running
        slots = f"slots {progress.slots if busy is None else f'{busy}/{progress.slots}'}"
        rejected = sum(progress.reasons.values())
        return f"{self._pace:,.0f} tok/s, {slots}, {rejected} rejected{_worst(progress.reasons)}"

    def close(self) -> None:
        """Leaves the last state standing."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
            self._bar = None


def _worst(reasons: Counter[str], most: int = 3) -> str:
    named = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(most))
    return f" ({named})" if named else ""
