"""Gate `refusal`: the answer declines.

Rule: within its first 200 characters the answer says, in the first person, that it cannot or will
not do what was asked: "I'm sorry, but I can't …", "I'm unable to …", "I don't have access to …",
"I cannot provide …". Not caught on purpose: "I can't believe it", "I can't recommend it enough",
what stands between quotation marks, and questions back to the user.

To decline what would do harm is a good answer, and published sets hold it, so the gate is off
unless a recipe asks for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role

_BEGINNING = 200
_QUOTED = re.compile(r"\"[^\"\n]*(?:\"|$)|“[^”\n]*(?:”|$)")
_DO = (
    r"(?:help|assist|provide|fulfil+|comply|answer|give|offer|do (?:that|this|so)|create|generate"
    r"|write|produce|discuss|engage|access|browse|perform|complete|share|support|recommend (?:a|any"
    r"|specific)|tell you|show you|make (?:a|an|any|that|this)|process|see (?:the|your|any)|view"
    r"|open|execute|run|play|physically|directly|translate|determine|predict|guarantee|diagnose)\b"
)
_REFUSES = re.compile(
    rf"\bi(?:['’]m| am) (?:really |very |so |truly )?(?:sorry"
    rf"|afraid)[^.!?\n]{{0,60}}?\bi(?:['’]m| am)?"
    rf" (?:can['’]?t|cannot|can not|won['’]?t|unable|not able|do(?:n['’]t| not))\b"
    rf"|\bi (?:can['’]t|cannot|can not|won['’]t|will not) (?:\w+ly )?{_DO}"
    rf"|\bi(?:['’]m| am) (?:\w+ly )?(?:unable|not able|not allowed|not permitted|not programmed"
    rf"|not equipped|not capable|incapable)\b"
    rf"|\bi (?:do not|don['’]t) (?:\w+ly )?have (?:the (?:ability|capability|capacity|option)"
    rf"|(?:\w+ |real-time )?(?:access|capabilit\w+|information (?:on|about|regarding)|enough"
    rf" information)|personal|physical|feelings|emotions|any (?:information|knowledge|data"
    rf"|record))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Refusal(Gate):
    """Rejects an answer that declines."""

    name: ClassVar[str] = "refusal"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "declines"
    opt_in: ClassVar[bool] = True
    roles: ClassVar[tuple[Role, ...]] = ("assistant",)

    def __call__(self, message: Message) -> str | None:
        """Returns None, or "refusal"."""
        text = _QUOTED.sub(" ", message.text[:_BEGINNING])
        return self.name if _REFUSES.search(text) else None
