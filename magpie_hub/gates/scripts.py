"""Which script a text is written in: its letters, counted.

Han, kana and what goes with them are one script, since a Japanese text mixes them. Greek is not
counted, since mathematics borrows it, nor are letters that belong to no script of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache

_ONE_SCRIPT = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "BOPOMOFO": "CJK", "IDEOGRAPHIC": "CJK"}
# First words of the names of letters that belong to no script of their own.
_NO_SCRIPT = re.compile(
    "GREEK|MATHEMATICAL|FULLWIDTH|HALFWIDTH|MODIFIER|DOUBLE-STRUCK|SCRIPT|BLACK-LETTER|MICRO|OHM"
    "|KELVIN|ANGSTROM|FEMININE|MASCULINE|SUPERSCRIPT|SUBSCRIPT|ALEF|BET|GIMEL|DALET"
)


@cache
def script_of(char: str) -> str | None:
    """The script of a letter, such as "LATIN" or "CJK"; None for what is none or not counted."""
    if not char.isalpha():
        return None
    first = unicodedata.name(char, "").partition(" ")[0]
    return None if _NO_SCRIPT.fullmatch(first) else _ONE_SCRIPT.get(first, first)


def scripts(text: str) -> Counter[str]:
    """Letters of a text by script."""
    if text.isascii():
        letters = sum(map(str.isalpha, text))
        return Counter(LATIN=letters) if letters else Counter()
    counts: Counter[str] = Counter()
    for char in set(text):
        if script := script_of(char):
            counts[script] += text.count(char)
    return counts
