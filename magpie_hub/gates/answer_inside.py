"""Gate `answer_inside`: the instruction goes on into its own answer.

Models that leave out the end-of-turn token write the question and then answer it. Rules, after
the first line (the question part):

* a line that begins with an answer label and has something behind it: "Answer: 4", "**Solution:**
  …", "The answer is …", "Response: …", "答案：…", or "Q: … / A: …" pairs;
* a line that begins as an assistant begins: "Sure, …", "Certainly!", "Here are some …", "Here's a
  possible …";
* a heading "## Step 1", the chain-of-thought format of Llama 3.1, on any line.

On the first line: "… ? Answer: 4", and an opening that only an assistant makes ("Sure, here is …",
"As an AI language model, …").

Precision comes first, for a good instruction that is thrown away is paid for twice. Not caught on
purpose: an answer without a label; labels with nothing or a blank behind them ("Answer: ____",
"Answer: yes or no"), which ask for a form; texts whose question part is about an answer
(grading, proofreading, comparing) or of requests and responses; "Here is my code:" and whatever
else a user may hand over; "Step 1:" without a heading; "Explanation:" and "Output:", which
programming tasks carry.

Source: branches 4 and 5 of the official code's sanitiser (`exp/str_utils.py`), which cuts the
instruction there, and cuts legitimate ones with it; here the row is rejected and nothing is cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role

# What may stand behind a label without being an answer: nothing, a blank, a choice of words.
_FILLED = r"(?:\*\*|__)?[ \t]*(?:(?![\[<{(_.…]|\w+,? (?:or|/) \w+)\S|\n\s*\w)"
_LABEL = (
    r"(?:(?:final |correct |short |sample |model |suggested )?answer(?: key)?|solution|response"
    r"|respuesta|soluci[oó]n|réponse|antwort|lösung|risposta|resposta|ответ|решение"
    r"|答案|回答|解答|答)[ \t]*(?:\*\*|__)?[:：]"
)
_LABELLED = re.compile(rf"^[ \t>*_#]*{_LABEL}{_FILLED}", re.IGNORECASE | re.MULTILINE)
_THE_ANSWER_IS = re.compile(
    r"^[ \t>*_]*the (?:correct |final |right )?answer (?:is|would be)\b"
    r"[ \t]*[:：]?[ \t]*(?![\[<{_.…]|$)",
    re.IGNORECASE | re.MULTILINE,
)
_SAME_LINE = re.compile(
    rf"[?？][\"')\]]*[ \t]+(?:\*\*)?(?:answer|solution|答案|答)[ \t]*[:：]{_FILLED}", re.IGNORECASE
)
_QA_PAIR = re.compile(
    r"^[ \t*]*q\d*[:.].*?^[ \t*]*a\d*[:.][ \t]*\w", re.IGNORECASE | re.MULTILINE | re.DOTALL
)
_CHOICES = re.compile(r"^[ \t*]*b[:.)]", re.IGNORECASE | re.MULTILINE)
_STEP_HEADING = re.compile(r"^#{1,6}[ \t]*step 1\b", re.IGNORECASE | re.MULTILINE)
_ASSISTANT_LINE = re.compile(
    r"^(?:(?:sure|certainly|absolutely)[,!]|of course!"
    r"|i['’](?:d|m) (?:be )?(?:happy|glad) to help\b"
    r"|as an ai(?: language model| assistant)?, i\b"
    r"|here(?:['’]s| is| are) (?:(?:a|an|one|some|a few|several|\d+|two|three|four|five|ten) "
    r"(?:(?:more )?(?:possible|sample|suggested|simple|detailed|brief|short|step-by-step|great|good"
    r"|popular|common|key|tips|ways|steps|ideas|suggestions|reasons|strategies|recommendations)\b)"
    r"|(?:the|your) (?:answer|solution|rewritten|revised|corrected|translated|translation|improved"
    r"|updated|summary)\b))",
    re.IGNORECASE | re.MULTILINE,
)
_ASSISTANT_OPENING = re.compile(
    r"(?:(?:sure|certainly|absolutely|of course)[,!.] ?(?:here(?:['’]s| is| are)\b"
    r"|i['’]d be (?:happy|glad) to|i can help|let me help|i['’]ll help)"
    r"|i['’](?:d|m) (?:be )?(?:happy|glad) to (?:help|assist) you\b"
    r"|as an ai(?: language model| assistant)?, i\b)",
    re.IGNORECASE,
)
# The question part speaks of an answer as its subject: what follows is material, not the answer.
_ABOUT_ANSWERS = re.compile(
    r"\b(?:grade|critique|proofread|rate|review|assess|evaluate|verify|compare|improve|rewrite|edit"
    r"|rephrase|paraphrase|summari[sz]e|translate|check|classify|judge|score|format|extract)\b"
    r"[^\n]{0,80}\b(?:answers?|responses?|solutions?|repl(?:y|ies)|conversation|dialog(?:ue)?|q&a"
    r"|text|passage|sentences?|e-?mail|letter|paragraph|examples?)\b"
    r"|\b(?:my|this|these|his|her|their|your|student['’]?s?|given|above|below|following|provided)"
    r" (?:\w+ )?(?:answers?|responses?|solutions?|repl(?:y|ies)|dialog(?:ue)?|conversation)\b"
    r"|^\W*(?:http )?request\b[^\n]*:",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class AnswerInside(Gate):
    """Rejects an instruction that already holds its answer."""

    name: ClassVar[str] = "answer_inside"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "holds its own answer"
    roles: ClassVar[tuple[Role, ...]] = ("user",)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "answer_inside:" with what gave it away."""
        reason = _look(message.text.strip())
        return reason and f"{self.name}:{reason}"


def _look(text: str) -> str | None:
    if _ASSISTANT_OPENING.match(text):
        return "assistant_voice"
    if _STEP_HEADING.search(text):
        return "step_heading"
    head, _, rest = text.partition("\n")
    found: tuple[str, int] | None = None
    if match := _SAME_LINE.search(text):
        found = "label", match.start() + 1
    elif rest and (match := _LABELLED.search(rest) or _THE_ANSWER_IS.search(rest)):
        found = "label", len(head) + 1 + match.start()
    elif rest and (match := _ASSISTANT_LINE.search(rest)):
        found = "assistant_voice", len(head) + 1 + match.start()
    elif (match := _QA_PAIR.search(text)) and not _CHOICES.search(text):
        found = "label", match.start()
    if found is None or _ABOUT_ANSWERS.search(text, 0, found[1]):
        return None
    return found[0]
