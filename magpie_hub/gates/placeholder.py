"""Gate `placeholder`: a form that was not filled in.

Rules, outside of code and formulas:

* `form`: brackets or braces around what is to be filled in: "[Your Name]", "{topic}", "<insert
  date>", "(insert name here)", "{{name}}";
* `word`: square brackets around one to three words that are no link, note, citation or stage
  direction: "the [diamond] is cut";
* `filler`: "lorem ipsum".

Not caught on purpose: links, footnotes, check boxes, blanks to be filled in ("____"), arrays and
indices; texts that speak of templates, formats, placeholders, blanks or brackets. A letter with
"[Your Name]" at its end is a good answer to many, so the gate is off unless a recipe asks for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role, check_roles

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\$[^$\n]+\$|\\\[.*?\\\]|\\\(.*?\\\)", re.DOTALL)
_TO_FILL_IN = (
    r"(?:your|my|his|her|their|our|insert|enter|add|specify|fill|name|first|last|full|company"
    r"|recipient|sender|manager|date|time|address|city|state|country|topic|subject|title|product"
    r"|brand|number|phone|e-?mail|link|url|website|location|place|person|job|position|amount"
    r"|price|organi[sz]ation|business|client|customer|school|university|industry|field|character"
    r"|hiring|contact|signature|year|month|day|item|keyword|description|author|placeholder)\b"
)
_FORM = re.compile(
    rf"\[{_TO_FILL_IN}[^\[\]\n]{{0,60}}\](?!\()"
    rf"|\{{\{{? ?{_TO_FILL_IN}[^{{}}\n]{{0,40}}\}}"
    r"|[<(]insert\b[^<>()\n]{1,60}[>)]"
    rf"|<(?:your|insert)\b[^<>\n=/]{{1,40}}>"
    rf"|\{{[a-z'’ ]* name\}}",
    re.IGNORECASE,
)
_WORD = re.compile(
    r"(?<![\w\])!])\[(?!sic\b)"
    r"(?:[A-Za-z][a-z'’-]+(?: [A-Za-z][a-z'’-]*){0,2}|(?!INST|MASK|SEP|CLS|PAD|UNK)[A-Z]{3,})"
    r"\](?![(\[:\w])"
)
_NOTE = re.compile(
    r"\[(?:citation needed|laugh\w*|applau\w*|music|chorus|verse|bridge|intro|outro|pause\w*|sighs?"
    r"|cheer\w*|silence|note|edit|update|spoiler|blank|image|figure|table|source|ref\w*|end|start"
    r"|scene|curtain|exit|enter|fade\w*|cut|interior|exterior|pre-chorus|hook|inaudible|crying"
    r"|clear\w*|nods?|smil\w*|gasp\w*|whisper\w*|emphasis \w+|emphasis)\b",
    re.IGNORECASE,
)
_FILLER = re.compile(r"\blorem ipsum\b", re.IGNORECASE)
_SPEAKS_OF_FORMS = re.compile(
    r"\b(?:templates?|formats?|formatted|placeholders?|blanks?|brackets?|braces?|syntax|variables?"
    r"|mad libs?|lorem ipsum|filler|dummy|f-?strings?|fill[- ]in|regex\w*|form letters?"
    r"|interpolat\w+"
    r"|array|lists? comprehension|markdown|wiki\w*)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Placeholder(Gate):
    """Rejects words in which something is left to be filled in.

    Attributes:
        roles: Whose words are looked at.
    """

    name: ClassVar[str] = "placeholder"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "something is left to be filled in"
    opt_in: ClassVar[bool] = True

    roles: tuple[Role, ...] = ("user", "assistant")

    def __post_init__(self) -> None:
        check_roles(self.name, self.roles)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "placeholder:" with the rule that was broken."""
        text = message.text
        if not any(mark in text for mark in ("[", "{", "<", "(insert", "(Insert", "psum")):
            return None
        if _SPEAKS_OF_FORMS.search(message.instruction):
            return None
        if message.role == "user" and _SPEAKS_OF_FORMS.search(text):
            return None
        prose = _CODE.sub(" ", text)
        if _FILLER.search(prose):
            return f"{self.name}:filler"
        if _FORM.search(prose):
            return f"{self.name}:form"
        if any(not _NOTE.match(found[0]) for found in _WORD.finditer(prose)):
            return f"{self.name}:word"
        return None
