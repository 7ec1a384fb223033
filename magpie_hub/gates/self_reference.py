"""Gate `self_reference`: the words are about the model that wrote them.

Rule: the text claims in the first person to be a model, to be an assistant, or to be made for
something: "As an AI language model, I …", "I'm SmolLM", "I'm designed to …", "I was trained on …",
"my training data". Looked for anywhere in an answer, outside of code; in an instruction too, which
is then the assistant's greeting and no request. Not caught on purpose: sentences about models in
the third person; instructions that give a role ("You are an AI …"); answers to those that do, or
that ask the assistant about itself.

Published sets hold such answers, so the gate is off unless a recipe asks for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role

_MODEL = (
    r"(?:(?:an? )?(?:\w+ )?(?:ai|a\.i\.|artificial intelligence|(?:large )?language model|chatbot"
    r"|chat bot|virtual assistant|digital assistant|text-based|machine learning)\b)"
)
_SELF = re.compile(
    # The first letters, once: most places in a text have none of them.
    rf"\b(?=[aims])(?:"
    rf"\bas (?:an? )?(?:\w+[ -])?{_MODEL}[^.!?\n]{{0,60}}?,? (?:i|my|me)\b"
    rf"|\bi(?:['’]m| am) (?:just |only |simply |actually |also |merely |still )?{_MODEL}"
    rf"|\bi(?:['’]m| am) (?:just |only )?your (?:\w+ ){{0,2}}(?:assistant|bot|program|software)\b"
    rf"|\bi(?:['’]m| am) (?:just |only )?an? (?:helpful|virtual|digital|intelligent|automated)"
    rf" (?:\w+ )?(?:assistant|bot|program|software)\b"
    rf"|\bas an (?:\w+ )?assistant, i\b|\bmy (?:\w+ )?role as {_MODEL}"
    rf"|\bi(?:['’]m| am) (?:smollm|chatgpt|gpt-?\d|claude|llama|qwen|gemini|mistral)\b"
    rf"|\bmy name is (?:smollm|chatgpt|claude|llama|qwen|gemini|mistral)\b"
    rf"|\bi(?:['’]m| am| was|['’]ve been| have been) (?:specifically |primarily |only )?"
    rf"(?:designed (?:to|for|by)|programmed (?:to|for|by|with)|trained (?:on|to)"
    rf"|(?:developed|built|created) (?:to|for|by (?:a team|researchers|hugging|open)))\b"
    rf"|\bmy (?:training data|training cut-?off|knowledge cut-?off|programming|developers|creators"
    rf"|primary (?:function|purpose|goal) is|capabilities|algorithms?)\b"
    rf"|\bsmollm\b)",
    re.IGNORECASE,
)
# Every match of the pattern holds one of these; looking for them is ten times as fast.
_MARKS = (
    *("smollm", "gpt", "claude", "llama", "qwen", "gemini", "mistral", "software"),
    *(" ai", "a.i.", "artificial", "language model", "bot", "assistant", "text-based", "program"),
    *("machine learning", "designed", "trained", "developed", "built", "created", "developers"),
    *("my training", "knowledge cut", "creators", "my primary", "capabilities", "algorithm"),
)
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_GIVES_A_ROLE = re.compile(
    r"\b(?:act as|pretend|imagine|role-?\s?play|you are (?:an?|the|now)|persona|speak as|respond as"
    r"|monologue|from the (?:perspective|point of view)|story|poem|dialogue|robots?)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\b(?:(?:who|what) are you|are you (?:an?|human|real|sentient|conscious|able)|about yourself"
    r"|(?:your|you were) (?:name|made|trained|created|built|designed|training|purpose|capabilities"
    r"|creators?|developers?)|smollm|can you (?:feel|think|learn|remember)"
    r"|do you (?:feel|think|have|know|dream|want|like|remember))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SelfReference(Gate):
    """Rejects words in which the model speaks of itself."""

    name: ClassVar[str] = "self_reference"
    version: ClassVar[int] = 2
    doc: ClassVar[str] = "the model speaks of itself"
    opt_in: ClassVar[bool] = True
    roles: ClassVar[tuple[Role, ...]] = ("user", "assistant")

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "self_reference"."""
        text = message.text
        lowered = text.lower()
        if not any(mark in lowered for mark in _MARKS):
            return None
        if "```" in text:
            text = _CODE.sub(" ", text)
        if not _SELF.search(text):
            return None
        if message.role == "user":
            return None if _GIVES_A_ROLE.search(text) else self.name
        given = _GIVES_A_ROLE.search(message.instruction) or _ASKS.search(message.instruction)
        return None if given else self.name
