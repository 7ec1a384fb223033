"""A row's text on its way into a judge's prompt, where it must stay text.

A row may hold lone surrogates, which no tokenizer takes, or the spelling of a special token, with
which it would end its own turn and speak as the judge. Both are made harmless; what the words say
to the judge is left as it is.
"""

from __future__ import annotations

import re

from magpie_hub.chat.codec import Codec


def special_marks(codec: Codec) -> re.Pattern[str] | None:
    """The pattern of everything that a tokenizer would read as a special token, or None."""
    spelled = {codec.decode((token,)).strip() for token in codec.special_ids}
    marks = sorted((mark for mark in spelled if len(mark) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, marks))) if marks else None


def escape_special_tokens(text: str, marks: re.Pattern[str] | None) -> str:
    """A row's text as plain text for a prompt.

    Args:
        text: Any string at all.
        marks: What `special_marks` found; a match is broken up by a space.

    Returns:
        Valid UTF-8, each lone surrogate a question mark.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if marks is None else marks.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", text)
