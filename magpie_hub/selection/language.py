"""Rule `language`: only the languages that a recipe asks for.

Source: the card of Magpie-Qwen2-Pro-200K-Chinese, which keeps one language. A row in which no
language was found is in none of those asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from magpie_hub.judges.labeled_row import LabeledRow
from magpie_hub.recipe.selection import Selection


@dataclass(frozen=True, slots=True)
class Language:
    """Drops a row in another language.

    Attributes:
        codes: ISO 639-1 codes that are kept, in upper case.
    """

    name: ClassVar[str] = "language"
    judges: ClassVar[tuple[str, ...]] = ("language",)

    codes: frozenset[str]

    @classmethod
    def of(cls, selection: Selection) -> Self | None:
        """On with `languages`."""
        if selection.languages is None:
            return None
        return cls(frozenset(code.upper() for code in selection.languages))

    def __call__(self, row: LabeledRow) -> str | None:
        """Returns None, "language" or "unjudged.language"."""
        if row.language is not None:
            return None if row.language.upper() in self.codes else self.name
        return "unjudged.language" if "language" in row.failures else self.name
