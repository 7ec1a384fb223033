"""Gate `speaker`: the words begin with the name of who says them.

Rules:

* an answer begins with a speaker's label: "SmolLM: …", "AI: …", "**Assistant:** …", "User: …";
* an instruction begins with an assistant's label, or with a user's and holds no answer. One
  that is answered is a transcript, which a user may hand over;
* an answer goes on in the user's place: a later line begins with "User:" or "Human:", unless the
  instruction asks for a dialogue.

Labels are the words for the two sides, the names of well-known assistants, any word that ends in
"LM" or "GPT", and the `names` of the recipe. Not caught on purpose: other people's names, for a
play or an interview begins with one, and "System:" and "Model:", which are headings
too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from magpie_hub.errors import RecipeError
from magpie_hub.gates.base import Gate, Message, Role

_USER = r"(?:the )?(?:user|human)"
_ASSISTANT = (
    r"(?:the )?(?:(?:ai|chat|virtual|helpful)[ -])?(?:assistant|chatbot)|a\.?i\.?(?: model| bot)?"
    r"|[a-z]{2,}(?:lm|gpt)|gpt(?:-?\d)?|claude|gemini|llama|qwen|mistral|gemma"
)
_COLON = r"(?:\*\*|__)?[ \t]*[:：](?:\*\*|__)?(?=\s|$)"
_OPENS = r"\s*[>\"“*_#]*[ \t]*"
_LABELLED_LINE = re.compile(rf"^[ \t*_#>]*([A-Za-z][\w ]{{0,20}}?){_COLON}", re.MULTILINE)
_USERS = re.compile(_USER, re.IGNORECASE)
_SIDE = re.compile(rf"{_USER}|{_ASSISTANT}", re.IGNORECASE)
_DIALOGUE = re.compile(
    r"\b(?:dialog(?:ue)?s?|conversations?|chats?|chatbots?|bots?|scripts?|transcripts?|interviews?"
    r"|role-?\s?play(?:s|ing)?|scenes?|exchanges?|screenplays?|simulat\w+|prompts?|users?"
    r"|humans?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Speaker(Gate):
    """Rejects words that begin with their speaker's label, and answers that speak for the user.

    Attributes:
        names: Further names of the assistant, in either case.
    """

    name: ClassVar[str] = "speaker"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "begins with its speaker's name"
    roles: ClassVar[tuple[Role, ...]] = ("user", "assistant")

    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names: object = self.names
        if not isinstance(names, tuple) or not all(isinstance(n, str) and n for n in names):
            raise RecipeError(f"gate speaker: names must be a list of names, not {names!r}")

    def __call__(self, message: Message) -> str | None:
        """Returns None, "speaker:label" or "speaker:user_turn"."""
        text = message.text
        if ":" not in text and "：" not in text:
            return None
        assistant = _begins(self.names)
        if message.role == "user":
            if assistant.match(text):
                return f"{self.name}:label"
            first = _BEGINS_AS_USER.match(text)
            answered = first and re.search(rf"^{assistant.pattern}", text[first.end() :], _FLAGS)
            return f"{self.name}:label" if first and not answered else None
        reason = "label" if assistant.match(text) or _LABEL.match(text) else None
        if reason is None and _speaks_for_user(text):
            reason = "user_turn"
        # Asked last: most answers have no label.
        dialogue = reason is None or _DIALOGUE.search(message.instruction)
        return None if dialogue else f"{self.name}:{reason}"


def _speaks_for_user(text: str) -> bool:
    folded = text.casefold()
    if "user" not in folded and "human" not in folded:
        return False
    labels = _LABELLED_LINE.findall(text)
    # A list of roles, of which the user's is one, is no conversation.
    return all(map(_SIDE.fullmatch, labels)) and any(map(_USERS.fullmatch, labels))


_FLAGS = re.IGNORECASE | re.MULTILINE
_BEGINS_AS_USER = re.compile(rf"{_OPENS}{_USER}{_COLON}", _FLAGS)
_LABEL = re.compile(rf"{_OPENS}(?:{_USER}|bot){_COLON}", _FLAGS)


@cache
def _begins(names: tuple[str, ...]) -> re.Pattern[str]:
    labels = "|".join([_ASSISTANT, *map(re.escape, names)])
    return re.compile(rf"{_OPENS}(?:{labels}){_COLON}", _FLAGS)
