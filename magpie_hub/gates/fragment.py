"""Gate `fragment`: an instruction begins in the middle of a word or a sentence.

Rules:

* `word`: the first word, in small letters, is an ending and a space follows ("ing to bake bread",
  "tion of labour", "'s house"), begins as no English word does ("mber of the band"), or is a
  beginning of questions and requests without its first letter ("hat is the", "rite a poem");
* `sentence`: it begins with a mark that only goes on or closes: ", and then", ") is", ". The";
* `clause`: it begins in small letters with a word that only goes on, and asks nothing: "and the
  second one is blue.", "which is why it broke."

Not caught on purpose: small letters as such, which people type; "...", bullets, options of
commands, domains (".com", ".NET") and faces; words that are endings and words too ("ally", "able",
"age").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role
from magpie_hub.gates.requests import ASKS

_WORD = re.compile(
    r"(?:ing|ings|ating|ed|ly|tions?|sions?|ations?|ments?|ness|ity|ities|ical|ically|ology"
    r"|ological|ous"
    r"|ously|ious|iously|iably|ably|ibly|ible|ively|ives|ency|encies|ial|ially|ized?|ised?|izing"
    r"|ising|['’](?:s|t|re|ve|ll|d|m)|n['’]t),? (?=[\w\"'])"
)
_NO_BEGINNING = re.compile(
    r"(?:(?:m[bp]|n[cdgkstv]|r[bcdfgklmnprstv]|l[bcdfgkmnpstv]|ck|ct|xp|xt|xc|pm|tm|dm|gm|bt|vm)"
    r"(?=[a-z]*[aeiouy])[a-z]{2,}|ghts?|nths?|rlds?|ngths?|rds?|lves?)[ ,](?=[\w\"'])"
)
_COMMANDS = re.compile(
    r"(?:nginx|ngrok|ndarray|ndjson|rsync|rspec|rclone|xcode|xterm|xclip|ctags|ctypes|nslookup"
    r"|rmdir"
    r"|mpeg|lbfgs|rnorm|rpart|rbenv|rviz|lxml|ltree)\b"
)
_BEHEADED = re.compile(
    r"(?:hat (?:is|are|does|do|did|was|were|would|can|should)|hy (?:is|are|do|does|did|was|should)"
    r"|ow (?:do|does|did|can|to|is|are|much|many|would|should|long)|hich (?:is|are|of|one)"
    r"|here (?:can|do|does|did) (?:i|you|we|it|the)|hen (?:did|does|was|is) \w+|ho (?:is|was|are"
    r"|were)"
    r"|(?:ould|hould) (?:you|i|we|it)|an you (?:help|tell|explain|give|write|please|provide"
    r"|describe)"
    r"|(?:rite|reate|enerate|raft|esign) (?:a|an|me|the|some|three|five)|(?:ive|ell|how|elp) me"
    r"|xplain|escribe|ompare|alculate|ummari[sz]e|ranslate|lease|ist (?:the|all|some|three|five"
    r"|ten)"
    r"|iscuss|dentify|rovide|nalyze|uggest) "
)
_SENTENCE = re.compile(
    r"(?:[,;:)\]}!?。，、；：）】」]|\.(?!\.|\w))[ \t]*(?=[\w\s\"'])(?![DPp()3]\b)"
)
_CLAUSE = re.compile(
    r"(?:and|or|but|nor|which (?:is|was) why|because of which|as well as|than (?:the|a)"
    r"|(?:of|by|from) (?:the|a))\b(?![^.]*,)"
)


@dataclass(frozen=True, slots=True)
class Fragment(Gate):
    """Rejects an instruction that begins in mid-word or in mid-sentence."""

    name: ClassVar[str] = "fragment"
    version: ClassVar[int] = 3
    doc: ClassVar[str] = "begins in the middle of a word or sentence"
    roles: ClassVar[tuple[Role, ...]] = ("user",)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "fragment:" with the rule that was broken."""
        text = message.text.lstrip()
        if _WORD.match(text) or _BEHEADED.match(text):
            return f"{self.name}:word"
        if _NO_BEGINNING.match(text) and not _COMMANDS.match(text):
            return f"{self.name}:word"
        if _SENTENCE.match(text):
            return f"{self.name}:sentence"
        goes_on = message.turn == 1 and "?" not in text and _CLAUSE.match(text)
        if goes_on and not ASKS.search(text, goes_on.end()):
            return f"{self.name}:clause"
        return None
