"""Gate `foreign_opening`: a text begins in one script and goes on in another.

Rule: the first word with letters is of another script than four in five of all letters, and is of
at least two letters. Small models slip so when the first token of a turn is drawn at random
("अध How do I bake bread?").

Not caught on purpose: a greeting that ends with "!"; a text that speaks of a language, of
translating or of writing, or that quotes its first word; names of products in Latin letters before
a text in another script ("Python 怎么读文件？"): Latin words are at home in every script.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role
from magpie_hub.gates.languages import SPEAKS_OF_LANGUAGE
from magpie_hub.gates.scripts import script_of, scripts

_FIRST_WORD = re.compile(r"\W*([^\W\d_]+)(\S*)")
_QUOTED = re.compile(r"\W*[\"'“”‘’«»`「『(\[*]")


@dataclass(frozen=True, slots=True)
class ForeignOpening(Gate):
    """Rejects a text whose first word is in another script than the rest."""

    name: ClassVar[str] = "foreign_opening"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "begins in another script"
    roles: ClassVar[tuple[Role, ...]] = ("user", "assistant")

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "foreign_opening:" with the script of the first word."""
        text = message.text.strip()
        if text[:80].isascii():
            return None
        found = _FIRST_WORD.match(text)
        if found is None or _QUOTED.match(text) or found[2].endswith(("!", "！")):
            return None
        word = found[1]
        script = script_of(word[0])
        if script in (None, "LATIN") or len(word) < 2:
            return None
        letters = scripts(text)
        if not letters:
            return None
        other = max(letters, key=letters.__getitem__)
        if other == script or letters[other] < 0.8 * sum(letters.values()):
            return None
        if SPEAKS_OF_LANGUAGE.search(text) or SPEAKS_OF_LANGUAGE.search(message.instruction):
            return None
        return f"{self.name}:{script.lower()}"
