"""Gate `no_request`: an instruction that asks nothing.

Rule: an English instruction has no question mark, no sentence that begins with a question word or
with a verb in the imperative ("Write", "Please explain", "Let's plan"), and none of the phrases by
which people ask ("I need", "I'd like", "help me", "tell me", "looking for", "any advice", …).

Not caught on purpose: instructions in other languages or scripts than English, which its words
do not fit; code, formulas and numbers; later turns, in which people also answer. A keyword
("kitchen remodel ideas") asks nothing by this rule, and a statement with which somebody opens a
conversation neither, so the gate is off unless a recipe asks for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Candidate, Role

_IMPERATIVES = (
    "act add advise analy[sz]e answer apply argue arrange assess assign assist assume balance be "
    "begin brainstorm break bring build calculate can categori[sz]e change check choose cite "
    "clarify classify clean code combine come comment compare compile complete compose compute "
    "conduct consider construct continue convert convince correct count craft create critique "
    "debug "
    "decide define demonstrate derive describe design detail detect determine develop devise "
    "diagnose differentiate discuss display distinguish divide do draft draw edit elaborate "
    "enumerate estimate evaluate examine expand explain explore express extend extract factor fill "
    "find finish fix focus follow form formulate generate get give go group guess guide help "
    "highlight identify illustrate imagine implement improve include infer inform integrate "
    "interpret introduce invent investigate join justify keep label let list locate look make map "
    "match mention modify move multiply name narrate offer optimi[sz]e order organi[sz]e outline "
    "paint paraphrase perform pick plan play please plot point polish predict prepare present "
    "pretend print produce program proofread propose prove provide punctuate put quote rank rate "
    "read recall recite recommend reduce refactor reflect rephrase replace reply report respond "
    "restate return reverse review revise rewrite role-?play round run say scan search see select "
    "set share shorten show simplify simulate sketch solve sort speak specify spell split start "
    "state structure study submit substitute subtract suggest sum summari[sz]e take talk teach "
    "tell "
    "test think touch trace train transform translate treat try turn understand unscramble update "
    "use validate verify visuali[sz]e walk watch wish work write"
).split()
_QUESTION = (
    r"(?:what|who|whom|whose|when|where|why|which(?! (?:is|was) why)|how|is|are|was|were|am|do"
    r"|does|did|can|could"
    r"|should"
    r"|would|will|shall|may|might|must|has|have|had|in what|in which|at what|to what|for what"
    r"|by what"
    r"|on what|isn|aren|don|doesn|didn|won|wouldn|couldn|shouldn|what['’]s|whats|how['’]s|who['’]s"
    r"|where['’]s|wondering|curious|anyone|any|is there|got)\b"
)
_LEAD = (
    r"(?:(?:now|so|then|next|ok|okay|hi|hello|hey|hey there|first|finally|also|and|but|instead"
    r"|again"
    r"|just|kindly|please|pls|briefly|carefully|clearly|concisely|in detail|thanks|assistant|yes"
    r"|no)"
    r"[,.!:;]*\s+)*"
)
_BEGINS = r"(?:^|[.!;:：\n]\s*|,\s+(?:please\s+|then\s+)?)[\"'“‘(\[*_#>\-\d.)\s]*"
_ASKS = re.compile(
    rf"{_BEGINS}{_LEAD}(?:(?:{'|'.join(_IMPERATIVES)})\b(?![’'])|let['’]?s\b|{_QUESTION})"
    r"|\b(?:please|pls|help|tell me|show me|give me|teach me|explain|i (?:need|want|wish|would like"
    r"|would love|would appreciate|am looking|am trying|am searching|am wondering|am curious"
    r"|am seeking"
    r"|require|seek|wonder|am interested|have to|['’]?d)\b|i['’]d (?:like|love|appreciate)"
    r"|i['’]m (?:looking|trying|searching|wondering|curious|seeking|interested|unsure|not sure)"
    r"|looking (?:for|to)|need (?:to|a|an|some|your)|your task|you (?:should|must|need to|will|are)"
    r"|any (?:advice|ideas?|tips?|suggestions?|recommendations?|help|thoughts)|how (?:to|do|can"
    r"|should)"
    r"|what (?:to|is|are)|we (?:need|want)|ways to|tips (?:for|on)|ideas for|if you could|don['’]?t"
    r" (?:know|understand)|struggling|stuck|advice|recommendations?)\b",
    re.IGNORECASE,
)
_ENGLISH = re.compile(
    r"\b(?:the|and|of|to|are|that|for|with|my|your|this|have|has|you|it|from|by|as|at)\b",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"[=+*/^<>{}\\;]|\d\s*[-×÷]\s*\d")


@dataclass(frozen=True, slots=True)
class NoRequest:
    """Rejects an English instruction that asks nothing."""

    name: ClassVar[str] = "no_request"
    version: ClassVar[int] = 1
    roles: ClassVar[tuple[Role, ...]] = ("user",)

    def __call__(self, candidate: Candidate) -> str | None:
        """Returns None, or "no_request"."""
        text = candidate.text.strip()
        if candidate.turn > 1 or "?" in text or "？" in text or _ASKS.search(text):
            return None
        # A keyword or two in plain letters are taken for English, and what else has its words.
        english = _ENGLISH.search(text) or (text.isascii() and len(text.split()) < 4)
        return self.name if english and not _FORMULA.search(text) else None
