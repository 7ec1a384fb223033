"""Gate `language`: only the languages that a recipe asks for.

Rule: the detected language is none of `allow`. A text under `min_chars` characters, or a verdict
under `min_score`, is no verdict and passes: short queries, names and formulas belong to no
language. Fenced code is left out before looking. The gate is off unless a recipe asks for it.

Detector: see `magpie_hub.models.langid`; nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.errors import RecipeError, UserError
from magpie_hub.gates.base import Gate, Message, Role, check_integer, check_roles, check_share
from magpie_hub.models.langid import MISSING, detect, is_installed, prose

_MISSING = f"the gate language needs {MISSING}, or take gates.language out of the recipe"


@dataclass(frozen=True, slots=True)
class LanguageGate(Gate):
    """Rejects what is written in another language.

    Attributes:
        allow: ISO 639-1 codes ("en", "zh"), in either case; at least one.
        min_chars: Shorter texts pass.
        min_score: Verdicts under this probability pass, in [0, 1].
        roles: Whose words are looked at.
    """

    name: ClassVar[str] = "language"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "in a language that was not asked for"

    allow: tuple[str, ...]
    min_chars: int = 20
    min_score: float = 0.6
    roles: tuple[Role, ...] = ("user",)

    def __post_init__(self) -> None:
        allow: object = self.allow
        if not isinstance(allow, tuple) or not allow or not all(map(_is_word, allow)):
            raise RecipeError(f"gate language: allow must be a list of names, not {allow!r}")
        check_roles(self.name, self.roles)
        if bad := [code for code in self.allow if not 2 <= len(code) <= 3]:
            raise RecipeError(f"gate language: allow takes codes such as en or zh, not {bad[0]!r}")
        check_integer(self.name, "min_chars", self.min_chars, 1, 1_000_000)
        check_share(self.name, "min_score", self.min_score)

    def check_installed(self) -> None:
        """Raises UserError if the detector is not installed; imports nothing."""
        if not is_installed():
            raise UserError(_MISSING)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "language:" with the language found.

        Raises:
            UserError: The detector is not installed.
        """
        text = prose(message.text)
        if len(text) < self.min_chars:
            return None
        try:
            found = detect(text)
        except ImportError as error:
            raise UserError(_MISSING) from error
        if found is None or found.score < self.min_score:
            return None
        allowed = found.code in {code.lower() for code in self.allow}
        return None if allowed else f"{self.name}:{found.code}"


def _is_word(value: object) -> bool:
    return isinstance(value, str) and value.isalpha()
