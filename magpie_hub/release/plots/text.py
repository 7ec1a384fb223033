"""Names, numbers and lists as plots and their alternative texts write them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

MOST = 60
"""Characters of a name; a plot cuts it further where room is short."""

_PRINTED = frozenset("LNPS")
"""General categories, by first letter, of characters that are written as they are."""


def font_file(*, bold: bool = False) -> Path:
    """The font that comes with matplotlib, whatever else is installed."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import get_font

    return frozenset(get_font(str(font_file())).get_charmap())


def plain(name: str) -> str:
    """A name that draws harmlessly: one line, without what the font lacks, never empty.

    Control and formatting characters, loose accents and characters without a glyph are written
    as Python escapes them.
    """
    head = unicodedata.normalize("NFC", name[: MOST + 1]).strip(" ")
    text = "".join(_printable(char) for char in head)
    if len(text) > MOST:
        text = text[: MOST - 1].rstrip() + "…"
    return text or "(empty)"


def _printable(char: str) -> str:
    if char == " " or (unicodedata.category(char)[0] in _PRINTED and ord(char) in _glyphs()):
        return char
    return char.encode("unicode_escape").decode("ascii")


def short(number: float, *, whole: bool = False) -> str:
    """A number at three digits, or all digits before the point: "0.0412", "−3.25", "1,204".

    Args:
        number: Any finite number; what is nearer to zero than a millionth is zero.
        whole: Whether digits after the point are left out.
    """
    size = abs(number)
    digits = f"{size:,.0f}" if whole or size >= 100 else f"{size:.3g}"
    if size < 1e-6 or digits == "0":
        return "0"
    return f"−{digits}" if number < 0 else digits


def listed(parts: Iterable[str]) -> str:
    """Joins words: "a", "a and b", "a, b and c"."""
    *heads, last = parts
    return f"{', '.join(heads)} and {last}" if heads else last
