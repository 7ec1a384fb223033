"""Gate `garbage`: noise instead of words.

Rules, each with its own reason:

* `replacement`: the text holds U+FFFD: bytes that are no character.
* `control`: control characters other than tab and line breaks.
* `private_use`: private-use code points and lone surrogates, which no reader can show and no
  parquet string can hold.
* `single` (user): one lone character is no request. One letter can be a response.
* `symbols`: of `min_chars` characters or more, less than `min_word_share` are letters, marks,
  digits or space. Long rules ("-----") count once, so tables and forms pass.
* `scripts` (user): a text of up to 500 characters in more than `max_scripts` scripts, two letters
  at least of each. Small models at a high temperature hop between scripts like that. Han and kana
  are one script, and Greek is not counted, since mathematics borrows it. A response may well
  translate a word into ten languages.

Source: the symbol rule is Gopher's symbol-to-word rule turned round (Rae et al. 2021, arXiv
2112.11446, table A1), wide enough for code and formulas; the others come from reading what
aligned models of 0.1 to 8 B parameters write at temperatures of 1 and above.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from magpie_hub.gates.base import Gate, Message, Role, check_integer, check_share
from magpie_hub.gates.scripts import scripts
from magpie_hub.gates.words import NON_ASCII

_Kind = Literal["word", "symbol", "control", "replacement", "private_use"]

_SHORT = 500
_LONG_RULE = re.compile(r"([^\w\s]|_)\1{3,}")


@functools.cache
def _kind(char: str) -> _Kind:
    if char == "\ufffd":
        return "replacement"
    category = unicodedata.category(char)
    if category == "Cc":
        return "word" if char in "\t\n\r" else "control"
    if category in ("Co", "Cs"):
        return "private_use"
    return "word" if category[0] in "LMNZ" or category == "Cf" else "symbol"


_ASCII_WORDS = bytes(code for code in range(128) if _kind(chr(code)) == "word")


@dataclass(frozen=True, slots=True)
class Garbage(Gate):
    """Rejects texts that no user would type.

    Attributes:
        min_chars: The symbol rule looks at texts from this length on, in characters.
        min_word_share: Least share of letters, marks, digits and space, in [0, 1].
        max_scripts: Scripts that a short instruction may mix.
    """

    name: ClassVar[str] = "garbage"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "noise instead of words"
    roles: ClassVar[tuple[Role, ...]] = ("user", "assistant")

    min_chars: int = 20
    min_word_share: float = 0.4
    max_scripts: int = 3

    def __post_init__(self) -> None:
        check_integer(self.name, "min_chars", self.min_chars, 1, 1_000_000)
        check_share(self.name, "min_word_share", self.min_word_share)
        check_integer(self.name, "max_scripts", self.max_scripts, 1, 100)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "garbage:" with the rule that was broken."""
        text = message.text.strip()
        # What is no ASCII letter, digit or space: a few characters of most texts.
        rest = text.encode("ascii", "ignore").translate(None, _ASCII_WORDS).decode()
        if not text.isascii():
            rest += "".join(NON_ASCII.findall(text))
        chars = set(rest)
        kinds = {_kind(char) for char in chars}
        for kind in ("replacement", "control", "private_use"):
            if kind in kinds:
                return f"{self.name}:{kind}"
        if message.role == "user" and len(text) == 1:
            return f"{self.name}:single"
        if len(text) >= self.min_chars and self._is_noise(text, chars, len(text) - len(rest)):
            return f"{self.name}:symbols"
        if message.role != "user" or len(text) > _SHORT or text.isascii():
            return None
        mixed = sum(count >= 2 for count in scripts(text).values()) > self.max_scripts
        return f"{self.name}:scripts" if mixed else None

    def _is_noise(self, text: str, chars: Collection[str], words: int) -> bool:
        if words / len(text) >= self.min_word_share:
            return False
        symbols = [char for char in chars if _kind(char) == "symbol"]
        if _word_share(text, symbols) >= self.min_word_share:
            return False
        # Shortening the rules costs a pass, so only a text that is about to fail pays for it.
        return _word_share(_LONG_RULE.sub(r"\1", text), symbols) < self.min_word_share


def _word_share(text: str, symbols: Iterable[str]) -> float:
    """Share of a text's characters that are none of these symbols."""
    return (len(text) - sum(map(text.count, symbols))) / len(text)
