"""The words of a text: runs of letters and digits; Chinese and Japanese count by the character."""

from __future__ import annotations

import re

NON_ASCII = re.compile(r"[^\x00-\x7f]")
"""One character beyond ASCII."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_]+")
_ASCII_BETWEEN_WORDS = {code: " " for code in range(128) if not chr(code).isalnum()}


def words(text: str) -> list[str]:
    """The words of a text, in their order."""
    # Most text is ASCII but for quotation marks and dashes: then this is several times as fast as
    # a pattern.
    if not text.isascii():
        for char in set(NON_ASCII.findall(text)):
            if char.isalnum() or "\u3040" <= char <= "\u30ff":
                return _WORD.findall(text)
            text = text.replace(char, " ")
    return text.translate(_ASCII_BETWEEN_WORDS).split()
