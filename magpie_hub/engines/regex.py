r"""Regular expressions that every engine reads as Python's `re` does, and what ends a completion.

What compiles a pattern for decoding has a dialect of its own and departs from `re` in silence:
xgrammar's dot takes a line break, and its `\Z` is the letter Z. So a pattern is written in a few
constructs, which all dialects share; anything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from magpie_hub.engines.base import Sampling
from magpie_hub.errors import EngineError

_NOT_NEWLINE = "[\x01-\\t\x0b-\ud7ff\ue000-\U0010ffff]"
"""Any character of a text but the line break; NUL and surrogates are in none."""

_PIECE = re.compile(
    r"""
      (?P<line> \[\^\\n\] )
    | \\ (?P<escaped> [^\0A-Za-z0-9\ud800-\udfff] )
    | (?P<newline> \\n )
    # No lazy and no possessive counts.
    | (?P<same> \((?:\?:|(?!\?)) | [)|] | (?:[*+?]|\{\d+(?:,\d*)?\})(?![*+?])
      | [^\0\\^$.\[\]{}()|*+?\ud800-\udfff] )
    """,
    re.VERBOSE | re.DOTALL,
)


@lru_cache(maxsize=256)
def portable(pattern: str) -> str:
    r"""Returns a pattern as every engine reads it, to be matched by the whole of a text.

    Known are literals, escaped punctuation, ``\n``, ``[^\n]``, groups, ``|`` and counts.

    Raises:
        EngineError: It is no regular expression, or holds something else.
    """
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise EngineError(f"the pattern is refused: {error}: {pattern!r}") from error
    said, at = [], 0
    while at < len(pattern):
        piece = _PIECE.match(pattern, at)
        if piece is None:
            raise EngineError(
                f"the pattern is refused at {pattern[at : at + 8]!r}, which not every engine "
                f"reads alike; write it with literals, [^\\n], groups, | and counts: {pattern!r}"
            )
        if escaped := piece["escaped"]:
            said.append("\\" + escaped if escaped in r"\^$.[]{}()|*+?" else escaped)
        else:
            said.append(piece["same"] or ("\n" if piece["newline"] else _NOT_NEWLINE))
        at = piece.end()
    return "".join(said) or "()"


def end_ids(tokenizer: Any, vocabulary: int | None) -> tuple[int, ...]:
    """Returns a tokenizer's special tokens, end of sequence included.

    They stand for no text. Under a pattern each of them ends the completion, which also keeps the
    pattern from spelling one out.

    Args:
        tokenizer: A tokenizer of transformers.
        vocabulary: How many ids the model knows, for its tokenizer may name more; None where
            unknown.
    """
    marked = (i for i, token in tokenizer.added_tokens_decoder.items() if token.special)
    ids = sorted({*tokenizer.all_special_ids, *marked})
    return tuple(i for i in ids if vocabulary is None or i < vocabulary)


def with_ends(sampling: Sampling, ends: Sequence[int] | None) -> Sampling:
    """Returns how a completion is drawn under its pattern; one without a pattern as it is.

    Args:
        sampling: What is asked for.
        ends: What `end_ids` says; None if the engine was not started for patterns.

    Raises:
        EngineError: The engine cannot follow the pattern.
    """
    if sampling.pattern is None:
        return sampling
    if ends is None:
        raise EngineError("a pattern needs an engine that was started with constrained=True")
    stop_ids = tuple(dict.fromkeys((*sampling.stop_ids, *ends)))
    if not stop_ids:
        raise EngineError("a pattern needs a token to end on; name one in stop_ids")
    return replace(sampling, pattern=portable(sampling.pattern), stop_ids=stop_ids)
