"""Gate `small_talk`: the answer talks of helping instead of helping.

Rule: somewhere in the answer its writer offers services or tells of a life of their own: "I'm here
to support you", "How can I assist you today?", "I'd be happy to help", "What brings you here?",
"I've been doing this job for years", "my expertise". Small models, which were taught to be friendly
before they could know much, write whole answers of it. Not caught on purpose: an offer at the end
("let me know if you have questions"), and what stands between quotation marks; answers to
instructions that address the assistant ("Can you help me …"), ask for a letter, a story or a role,
or greet.

A good answer may begin so, and published sets are full of it, so the gate is off unless a recipe
asks for it. With `first_person` it wants answers without "I", which suits
questions that ask for facts and advice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role, check_flag

_OFFERS = re.compile(
    # The first letters, once: most places in a text have none of them.
    r"\b(?=[ihwmf])(?:"
    r"\bi(?:['’]m| am) (?:always |just |only )?here (?:to|for you)\b"
    r"|\b(?:how|what) (?:can|may|could) i (?:help|assist|do for) you\b|\bwhat brings you\b"
    r"|\bi(?:['’](?:d|m|ll)| am| would| will)(?: be)?(?: more than| very| so| really| always)?"
    r" (?:happy|glad|thrilled|delighted|excited) to (?:help|assist|guide|share|provide|support"
    r"|offer"
    r"|discuss|meet|chat)\b"
    r"|\bi(?:['’]ve| have) (?:been (?:doing|working|helping|in this)|seen (?:many|some|countless)"
    r"|worked with|helped)\b"
    r"|\bi (?:had the (?:privilege|pleasure|opportunity)|met an?|grew up|visited|once was)\b"
    r"|\bmy (?:expertise|primary (?:focus|goal)|clients?|customers?|services|dear friend"
    r"|assistance)\b"
    r"|\bi (?:can|could) (?:certainly|definitely|surely) (?:help|assist)\b|\bi specialize in\b"
    r"|\bfeel free to share (?:your|them|it)\b|\bi(?:['’]ve| have) got (?:a few|some|just)\b)",
    re.IGNORECASE,
)
_SOMEBODY_SPEAKS = re.compile(
    r"\b(?:letters?|e-?mails?|story|stories|speech|dialog(?:ue)?|act as|pretend|imagine|role"
    r"|you are"
    r"|(?<!how )(?:can|could|will|would) you|help me|assist|i need|i(?:['’]m| am) (?:looking"
    r"|planning)"
    r"|poem|script|cover|bio|greeting|introduce|interview|message|review|essay|monologue)\b"
    r"|^\W*(?:hi|hello|hey|good (?:morning|evening|day))\b",
    re.IGNORECASE,
)
_WRITES = re.compile(
    r"\b(?:write|compose|draft|act as|pretend|imagine|role|you are|introduce|hello|hi)\b",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:I|I['’](?:m|d|ve|ll)|[Mm]y|[Mm]e|[Mm]yself)\b(?![.:])")
_QUOTED = re.compile(r"\"[^\"\n]*(?:\"|$)|“[^”\n]*(?:”|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SmallTalk(Gate):
    """Rejects an answer that talks of helping, or of a life that its writer never had.

    Attributes:
        first_person: Also reject one with "I", "me" or "my" in it.
    """

    name: ClassVar[str] = "small_talk"
    version: ClassVar[int] = 6
    doc: ClassVar[str] = "talks of helping instead of helping"
    opt_in: ClassVar[bool] = True
    roles: ClassVar[tuple[Role, ...]] = ("assistant",)

    first_person: bool = False

    def __post_init__(self) -> None:
        check_flag(self.name, "first_person", self.first_person)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "small_talk"."""
        asked = message.instruction
        lenient = bool(_SOMEBODY_SPEAKS.search(asked))
        if lenient and (not self.first_person or _WRITES.search(asked)):
            return None
        text = message.text
        if '"' in text or "“" in text:
            text = _QUOTED.sub(" ", text)
        if self.first_person and _FIRST_PERSON.search(text):
            return self.name
        return self.name if not lenient and _OFFERS.search(text) else None
