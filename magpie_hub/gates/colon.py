"""Gate `colon`: an instruction that announces something and then ends.

Rule: the instruction ends with ':' or with the full-width '：'. Source: the filter of Magpie
(arXiv 2406.08464v2, section 3, and `data_sft/data_filter.ipynb` of the official code) drops
instructions that end with ':'; the full-width colon is its counterpart in Chinese and Japanese.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role


@dataclass(frozen=True, slots=True)
class Colon(Gate):
    """Rejects an instruction that ends with a colon."""

    name: ClassVar[str] = "colon"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "ends with a colon"
    roles: ClassVar[tuple[Role, ...]] = ("user",)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "colon"."""
        return self.name if ends_with_colon(message.text) else None


def ends_with_colon(text: str) -> bool:
    """Whether a text announces something that does not come."""
    return text.rstrip().endswith((":", "："))
