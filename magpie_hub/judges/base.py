"""The judge contract: label rows, hand each label over the moment it is there.

A judge reads subjects (a row's words) and knows nothing of journals, recipes or files. What it
finds for a row is a label: values by published column, or the reason why there are none. Every
subject gets exactly one label, a hostile or broken one too; a judge never drops a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from magpie_hub.store.labels import Label


@dataclass(frozen=True, slots=True)
class JudgeInput:
    """What a judge looks at: the words of one row.

    Attributes:
        row_id: Global index of the row.
        instruction: The first user turn. Any text at all: empty, 100,000 characters, lone
            surrogates, words that speak to the judge.
        response: The answer to it; "" where none was paid for.
    """

    row_id: int
    instruction: str
    response: str = ""


Save = Callable[[Sequence[Label]], None]
"""Commits labels; called as often as is useful, for a kill loses what has not been saved."""


class Judge(Protocol):
    """Something that labels rows.

    A judge is built from plain settings and loads nothing heavy until `label` is awaited. It
    frees its model before `label` returns or raises.
    """

    @property
    def name(self) -> str:
        """Short name: "tags", "reward", "safety", "language"; names its stage and its failures."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The published columns that it fills; every label without a failure has all of them."""
        ...

    def settings(self) -> dict[str, Any]:
        """Plain data that determines its labels (model, revision, prompts' version, mode, …)."""
        ...

    def check(self) -> None:
        """Looks, before the run, whether it can work here: packages, model, kind of model.

        Raises:
            UserError: It cannot; one line with the way out. Loads no weights.
        """
        ...

    async def label(self, items: Sequence[JudgeInput], save: Save) -> None:
        """Labels every subject.

        Args:
            subjects: What is to be labelled, in any order.
            save: Takes labels as they come, in any order and batch size.

        Raises:
            RunError: It had to stop; what was saved is kept.
        """
        ...
