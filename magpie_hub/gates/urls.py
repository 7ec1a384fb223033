"""Gate `urls`: an answer full of addresses that it cannot know.

Rule: outside of code, the answer holds `most` web addresses or more that do not stand in the
instruction, or such addresses make up more than `max_share` of it. A model without a browser
writes addresses from memory, and the denser they are the fewer of them exist. Not counted:
addresses that are made for examples (example.com, localhost), and addresses of a mere domain, which
models know better than paths.

Opinionated, so the gate is off unless a recipe asks for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from magpie_hub.gates.base import Gate, Message, Role, check_integer, check_share

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_ADDRESS = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'`)\]},]+"
    r"|\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|org|net|edu|gov|io|co)/[^\s<>\"'`)\]},]+",
    re.IGNORECASE,
)
# Every match of the pattern holds one of these; looking for them is much faster.
_IN_ADDRESSES = (
    *("://", "www.", ".com/", ".org/", ".net/"),
    *(".edu/", ".gov/", ".io/", ".co/"),
)
_BARE = re.compile(r"(?:https?://)?(?:www\.)?[^/\s]+/?", re.IGNORECASE)
_MADE_FOR_EXAMPLES = re.compile(
    r"(?:https?://)?(?:www\.)?(?:[\w-]+\.)*(?:example\.(?:com|org|net)|localhost|127\.0\.0\.1)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Urls(Gate):
    """Rejects an answer with many web addresses of its own.

    Attributes:
        most: So many different addresses with a path are too many.
        max_share: Share of the answer's characters that addresses may make up, in [0, 1].
    """

    name: ClassVar[str] = "urls"
    version: ClassVar[int] = 1
    doc: ClassVar[str] = "full of web addresses"
    opt_in: ClassVar[bool] = True
    roles: ClassVar[tuple[Role, ...]] = ("assistant",)

    most: int = 3
    max_share: float = 0.2

    def __post_init__(self) -> None:
        check_integer(self.name, "most", self.most, 1, 1_000)
        check_share(self.name, "max_share", self.max_share)

    def __call__(self, message: Message) -> str | None:
        """Returns None, "urls:many" or "urls:share"."""
        text = message.text
        if text.isascii() and not any(map(text.lower().__contains__, _IN_ADDRESSES)):
            return None
        prose = _CODE.sub(" ", text) if "`" in text else text
        found = [
            address
            for address in (match.rstrip(".;:!?*") for match in _ADDRESS.findall(prose))
            if not _MADE_FOR_EXAMPLES.match(address)
            and not _BARE.fullmatch(address)
            and address not in message.instruction
        ]
        if len(set(found)) >= self.most:
            return f"{self.name}:many"
        return f"{self.name}:share" if sum(map(len, found)) > self.max_share * len(prose) else None
