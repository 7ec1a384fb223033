"""Gate `other_language`: the answer is in another language than the instruction.

Rules:

* `script`: nine in ten letters of the instruction are of one script, and seven in ten of the
  answer's are of another;
* `language`, with `detect`: the two are in different languages by the detector, each with a
  probability of at least `min_score`.

Fenced code is left out on either side. Texts with fewer than `min_letters` letters are in no
language. Not caught on purpose: instructions that speak of a language, of translating or of
words, and instructions in Latin letters with no other word than names, which `min_letters` keeps
out.

Detector: see `magpie_hub.language`; it looks at the first 80 characters. It is asked only with
`detect`, so that without it no package decides over rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.errors import RecipeError, UserError
from magpie_hub.gates.base import Candidate, Role
from magpie_hub.gates.languages import SPEAKS_OF_LANGUAGE
from magpie_hub.gates.params import check_share, check_whole
from magpie_hub.gates.scripts import scripts
from magpie_hub.language import MISSING, detect, is_installed, prose

_MISSING = f"the gate other_language needs {MISSING} for detect, or set detect to false"


@dataclass(frozen=True, slots=True)
class OtherLanguage:
    """Rejects an answer in another language than its instruction.

    Attributes:
        min_letters: Shorter texts, on either side, pass.
        detect: Also tell languages of one script apart, by the detector.
        min_score: The detector's verdicts under this probability count for nothing, in [0, 1].
    """

    name: ClassVar[str] = "other_language"
    version: ClassVar[int] = 1
    roles: ClassVar[tuple[Role, ...]] = ("assistant",)

    min_letters: int = 20
    detect: bool = False
    min_score: float = 0.8

    def __post_init__(self) -> None:
        check_whole(self.name, "min_letters", self.min_letters, 1, 1_000_000)
        check_share(self.name, "min_score", self.min_score)
        if not isinstance(self.detect, bool):
            raise RecipeError(
                f"gate other_language: detect must be true or false, not {self.detect!r}"
            )

    def check_installed(self) -> None:
        """Raises UserError if the detector is wanted and not installed; imports nothing."""
        if self.detect and not is_installed():
            raise UserError(_MISSING)

    def __call__(self, candidate: Candidate) -> str | None:
        """Returns None, "other_language:script", or "other_language:" with the language found.

        Raises:
            UserError: The detector is wanted and not installed.
        """
        asked, answer = candidate.instruction, candidate.text
        if not self.detect and asked.isascii() and answer.isascii():
            return None
        asked, answer = prose(asked), prose(answer)
        there, here = scripts(asked), scripts(answer)
        if min(there.total(), here.total()) < self.min_letters:
            return None
        (of_asked, most), (of_answer, more) = there.most_common(1)[0], here.most_common(1)[0]
        if of_asked == of_answer and not self.detect:
            return None
        if SPEAKS_OF_LANGUAGE.search(asked):
            return None
        if of_asked != of_answer:
            sure = most >= 0.9 * there.total() and more >= 0.7 * here.total()
            return f"{self.name}:script" if sure else None
        return self._detected(asked, answer)

    def _detected(self, asked: str, answer: str) -> str | None:
        try:
            one, other = detect(asked), detect(answer)
        except ImportError as error:
            raise UserError(_MISSING) from error
        if one is None or other is None or one.code == other.code:
            return None
        sure = min(one.score, other.score) >= self.min_score
        return f"{self.name}:{other.code}" if sure else None
