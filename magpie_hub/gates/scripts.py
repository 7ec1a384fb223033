"""Which script a text is written in: its letters, counted.

Han, kana and what goes with them are one script, since a Japanese text mixes them. Greek is not
counted, since mathematics borrows it, nor are letters that belong to no script of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache

from magpie_hub.gates.words import NON_ASCII

_ONE_SCRIPT = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "BOPOMOFO": "CJK", "IDEOGRAPHIC": "CJK"}
# First words of the names of letters that belong to no script of their own.
_NO_SCRIPT = re.compile(
    "GREEK|MATHEMATICAL|FULLWIDTH|HALFWIDTH|MODIFIER|DOUBLE-STRUCK|SCRIPT|BLACK-LETTER|MICRO|OHM"
    "|KELVIN|ANGSTROM|FEMININE|MASCULINE|SUPERSCRIPT|SUBSCRIPT|ALEF|BET|GIMEL|DALET"
)
_ASCII_OTHERS = bytes(code for code in range(128) if not chr(code).isalpha())


@cache
def script_of(char: str) -> str | None:
    """The script of a letter, such as "LATIN" or "CJK"; None for what is none or not counted."""
    if not char.isalpha():
        return None
    first = unicodedata.name(char, "").partition(" ")[0]
    return None if _NO_SCRIPT.fullmatch(first) else _ONE_SCRIPT.get(first, first)


def scripts(text: str) -> dict[str, int]:
    """Letters of a text by script; no script without letters."""
    letters = len(text.encode("ascii", "ignore").translate(None, _ASCII_OTHERS))
    counts = {"LATIN": letters} if letters else {}
    if not text.isascii():
        for char, count in Counter(NON_ASCII.findall(text)).items():
            if script := script_of(char):
                counts[script] = counts.get(script, 0) + count
    return counts
