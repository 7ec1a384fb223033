"""Words by which people ask for something in English."""

from __future__ import annotations

import re

_IMPERATIVES = (
    "act add advise analy[sz]e answer apply argue arrange assess assign assist assume balance be "
    "begin brainstorm break bring build calculate can categori[sz]e change check choose cite "
    "clarify classify clean code combine come comment compare compile complete compose compute "
    "conduct consider construct continue convert convince correct count craft create critique "
    "debug decide define demonstrate derive describe design detail detect determine develop "
    "devise diagnose differentiate discuss display distinguish divide do draft draw edit "
    "elaborate enumerate estimate evaluate examine expand explain explore express extend extract "
    "factor fill find finish fix focus follow form formulate generate get give go group guess "
    "guide help highlight identify illustrate imagine implement improve include infer inform "
    "integrate interpret introduce invent investigate join justify keep label let list locate "
    "look make map match mention modify move multiply name narrate offer optimi[sz]e order "
    "organi[sz]e outline paint paraphrase perform pick plan play please plot point polish "
    "predict prepare present pretend print produce program proofread propose prove provide "
    "punctuate put quote rank rate read recall recite recommend reduce refactor reflect rephrase "
    "replace reply report respond restate return reverse review revise rewrite role-?play round "
    "run say scan search see select set share shorten show simplify simulate sketch solve sort "
    "speak specify spell split start state structure study submit substitute subtract suggest "
    "sum summari[sz]e take talk teach tell test think touch trace train transform translate "
    "treat try turn understand unscramble update use validate verify visuali[sz]e walk watch "
    "wish work write"
).split()
_QUESTION = (
    r"(?:what|who|whom|whose|when|where|why|which(?! (?:is|was) why)|how|is|are|was|were|am|do"
    r"|does|did|can|could|should|would|will|shall|may|might|must|has|have|had|in what|in which"
    r"|at what|to what|for what|by what|on what|isn|aren|don|doesn|didn|won|wouldn|couldn|shouldn"
    r"|what['’]s|whats|how['’]s|who['’]s|where['’]s|wondering|curious|anyone|any|is there|got)\b"
)
_LEAD = (
    r"(?:(?:now|so|then|next|ok|okay|hi|hello|hey|hey there|first|finally|also|and|but|instead"
    r"|again|just|kindly|please|pls|briefly|carefully|clearly|concisely|in detail|thanks"
    r"|assistant|yes|no)[,.!:;]{0,2}\s{1,2}){0,4}"
)
# Bounded throughout: a text may be one mark a thousand times.
_BEGINS = r"(?:^|[.!;:：\n]|,\s(?:please\s|then\s)?)[\"'“‘(\[*_#>\-\d.)\s]{0,12}"
_PHRASE = (
    r"(?:please|pls|help|tell me|show me|give me|teach me|explain|struggling|stuck|advice"
    r"|recommendations?|we (?:need|want)|you (?:should|must|need to|will|are)|your task"
    r"|if you could"
    r"|i (?:need|want|wish|require|seek|wonder|have to|can['’]?t|cannot|don['’]?t)"
    r"|i (?:would|['’]d) (?:like|love|appreciate)|i['’]d (?:like|love|appreciate)"
    r"|i(?:['’]m| am) (?:looking|trying|searching|wondering|curious|seeking|interested|unsure"
    r"|not sure)|looking (?:for|to)|need (?:to|a|an|some|your)"
    r"|do(?:n['’]?t| not) (?:know|understand)"
    r"|any (?:advice|ideas?|tips?|suggestions?|recommendations?|help|thoughts)|ideas for|ways to"
    r"|tips (?:for|on)|how (?:to|do|can|should)|what (?:to|is|are))\b"
)
ASKS = re.compile(
    rf"{_BEGINS}{_LEAD}(?:(?:{'|'.join(_IMPERATIVES)})\b(?!['’])|let['’]?s\b|{_QUESTION})"
    rf"|\b{_PHRASE}",
    re.IGNORECASE,
)
"""A question word or an imperative at the beginning of a sentence, or a phrase that asks."""
