"""The contract of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture that has been written.

    Attributes:
        name: Its file name.
        title: What it is about, in a few words; also written in it.
        alt: What is seen in it, with its numbers, for those who do not see it. One line of
            printable characters; names in it may hold any punctuation, Markdown's included.
    """

    name: str
    title: str
    alt: str


Drawing: TypeAlias = "tuple[Plot, Figure]"
"""A plot, and the figure that becomes its file."""
