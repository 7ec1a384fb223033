"""Gate `other_language`: the answer is in another language than the instruction.

Rules:

* `script`: nine in ten letters of the instruction are of one script, and seven in ten of the
  answer's are of another;
* a language ("fr"): both are in Latin letters, and their small words are plainly those of two
  languages, of English, French, German, Spanish, Italian, Portuguese and Dutch.

The first 400 characters of either are looked at, fenced code left out. An answer of fewer than
`min_letters` letters is in no language, nor is an instruction of fewer than ten. Not caught on
purpose: answers to instructions that speak of a language, of translating or of words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role, check_integer
from magpie_hub.gates.languages import BEGINNING, SPEAKS_OF_LANGUAGE, differ
from magpie_hub.gates.scripts import scripts
from magpie_hub.models.langid import prose

_A_FEW = 10


@dataclass(frozen=True, slots=True)
class OtherLanguage(Gate):
    """Rejects an answer in another language than its instruction.

    Attributes:
        min_letters: Shorter answers pass.
    """

    name: ClassVar[str] = "other_language"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "in another language than the instruction"
    roles: ClassVar[tuple[Role, ...]] = ("assistant",)

    min_letters: int = 20

    def __post_init__(self) -> None:
        check_integer(self.name, "min_letters", self.min_letters, 1, 1_000_000)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "other_language:" with "script" or the language found."""
        asked, answer = message.instruction, message.text
        if "```" in asked or "```" in answer:
            asked, answer = prose(asked), prose(answer)
        asked, answer = asked[:BEGINNING], answer[:BEGINNING]
        there, here = scripts(asked), scripts(answer)
        asked_letters, answer_letters = sum(there.values()), sum(here.values())
        if asked_letters < _A_FEW or answer_letters < self.min_letters:
            return None
        of_asked, of_answer = max(there, key=there.__getitem__), max(here, key=here.__getitem__)
        if of_asked != of_answer:
            sure = (
                there[of_asked] >= 0.9 * asked_letters and here[of_answer] >= 0.7 * answer_letters
            )
            reason = "script" if sure else None
        else:
            reason = differ(asked, answer) if of_asked == "LATIN" else None
        if reason is None or SPEAKS_OF_LANGUAGE.search(asked):
            return None
        return f"{self.name}:{reason}"
