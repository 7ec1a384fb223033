"""Which tokens and which pieces of text mark the turns of a chat template.

The derived segments show where the template's text is. This module finds what in it ends a turn
(stop ids), what never belongs in the words of a turn (special ids, role headers as text), and what
ends a thinking block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from magpie_hub.chat.codec import Codec, Ids
from magpie_hub.chat.format import Segments
from magpie_hub.chat.forms import Forms
from magpie_hub.chat.thinking import DEFAULT, THINK_TAG, Thinking
from magpie_hub.errors import ChatFormatError
from magpie_hub.recipe.chat import ChatOptions

# A last line longer than this is a sentence that ends in a header ("… questions. USER:").
_HEADER_LIMIT = 32
# What names a role between two marks: "assistant", "message role="user"".
_NAMED = r"""\w[\w ="'/.-]{0,31}"""


def find_stop_ids(
    codec: Codec,
    one: Segments,
    further: tuple[Segments, ...],
    forms: Forms,
    headers: tuple[str, str],
    generation_eos: Sequence[int],
    extra: tuple[str, ...],
) -> Ids:
    """Tokens that end a user's turn, sorted; ordinary text only where a recipe names it.

    Raises:
        ChatFormatError: A named token is none, or nothing ends a turn.
    """
    stops = set(generation_eos)
    if codec.tokenizer.eos_token_id is not None:
        stops.add(codec.tokenizer.eos_token_id)
    controls = codec.controls()
    assistant, user = headers
    # What ends a user's turn, and what ends an assistant's, in every state of the template.
    for piece in dict.fromkeys((one.texts[1], *forms.posts)):
        stops.update(_ends(controls, piece, assistant)[:1])
    for piece in dict.fromkeys((*(two.texts[2] for two in further[:1]), *forms.ends)):
        stops.update(_ends(controls, piece, user)[:1])
    for text in extra:
        token = codec.single(text)
        if token is None:
            raise ChatFormatError(
                f"chat.stop holds {text!r}, which is not one token of this tokenizer: name a "
                "single token, or leave it out"
            )
        stops.add(token)
    if not stops:
        raise ChatFormatError(
            "nothing ends a turn: the tokenizer has no end-of-sequence token and the template no "
            "special token after a turn; name the token in chat.stop"
        )
    return tuple(sorted(stops))


def find_answer_stop_ids(
    codec: Codec,
    further: tuple[Segments, ...],
    forms: Forms,
    stop_ids: Ids,
    thinking: Thinking,
    options: ChatOptions,
    user: str,
) -> Ids:
    """Tokens that end an answer: with thinking, none of those that follow the thought.

    The next mark after the answer then stops it. An answer without such a mark is cut at its end
    when it is read.
    """
    if not options.thinking:
        return stop_ids
    controls = codec.controls()
    between = set(_found(controls, thinking.close))
    named = {token for text in options.stop if (token := codec.single(text)) is not None}
    stops = (set(stop_ids) - between) | named
    for piece in dict.fromkeys((*(two.texts[2] for two in further[:1]), *forms.ends)):
        # Where nothing follows the answer, every mark behind it ends it.
        last = not user or user not in piece
        marks = _found(controls, piece) if last else _ends(controls, piece, user)
        stops.update([token for token in marks if token not in between][:1])
    return tuple(sorted(stops))


def find_ending(codec: Codec, piece: str, header: str) -> tuple[str, str]:
    """How a turn ends if no single token ends it, and the text before the token that does.

    Args:
        codec: The tokenizer.
        piece: The template's text between the words of two turns.
        header: The header of the next turn.

    Returns:
        The text to cut at, "" if a token ends the turn; and the template's own text before that
        token, usually "".
    """
    controls = codec.controls()
    first = next(iter(_places(controls, piece)), None)
    plain = piece[: first.start()] if first else piece
    if _ends(controls, piece, header):
        return "", plain.strip()
    lines = re.split(THINK_TAG, plain)[0].strip().splitlines() or plain.strip().splitlines()
    return (lines[0].rstrip() if lines else ""), ""


def find_thinking(codec: Codec, forms: Forms) -> Thinking:
    """How thinking shows, by the template or as it usually does."""
    opened, close = forms.marks or DEFAULT
    return Thinking(opened, close, forms.marks is not None, forms.opened, forms.header)


def _pattern(controls: Mapping[str, int]) -> re.Pattern[str]:
    texts = sorted((text for text in controls if text), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, texts)) if texts else r"(?!)")


def _places(controls: Mapping[str, int], text: str) -> Iterable[re.Match[str]]:
    return _pattern(controls).finditer(text)


def _found(controls: Mapping[str, int], text: str) -> list[int]:
    return [controls[match[0]] for match in _places(controls, text)]


def _ends(controls: Mapping[str, int], piece: str, header: str) -> list[int]:
    """Marks after the words of a turn, in order, up to the one that opens the next turn."""
    cut = piece.rfind(header) if header else -1
    if cut < 0:
        # No header to end at: a mark counts where it is the first thing after the words.
        first = next(iter(_places(controls, piece)), None)
        at_once = first is not None and not piece[: first.start()].strip()
        return [controls[first[0]]] if first is not None and at_once else []
    places = [match for match in _places(controls, piece) if match.start() <= cut]
    return [controls[match[0]] for match in places]


def find_headers(
    codec: Codec,
    one: Segments,
    further: tuple[Segments, ...],
    forms: Forms,
    generation_eos: Sequence[int],
) -> tuple[str, str]:
    """Headers of an assistant's and of a user's turn, as the template writes them bare."""
    controls = codec.controls()
    ends = {codec.decode((token,)) for token in generation_eos}
    ends.add(str(codec.tokenizer.eos_token or ""))
    for part in (one.ids[1], *(two.ids[2] for two in further[:1])):
        first = next((token for token in part if not codec.is_space(token)), None)
        if first is not None and codec.is_control(first):
            ends.add(codec.decode((first,)))
    marks = list(controls)
    # A finished turn shows the bare headers: no thinking block, no default system turn.
    assistant, user = further[0].texts[1:3] if further else (one.texts[1], one.texts[0])
    found = ""
    if forms.header and forms.prompt:
        found = _header(forms.prompt, marks, ends)
        if found.strip() in ends:
            found = ""
    return found or _header(assistant, marks, ends), _header(user, marks, ends)


def used_controls(codec: Codec, found: tuple[Segments, ...]) -> frozenset[int]:
    """Marks that the template uses though the tokenizer does not flag them, thinking left out."""
    tokens = {token for segments in found for part in segments.ids for token in part}
    return frozenset(
        token
        for token in tokens
        if codec.is_control(token) and not re.search(r"(?i)think|thought", codec.decode((token,)))
    )


def find_markers(
    codec: Codec,
    before_system: str,
    headers: tuple[str, str],
    stop_ids: Ids,
) -> tuple[str, ...]:
    """Role headers as text, in the order assistant, user, system."""
    marks = [codec.decode((token,)) for token in sorted(codec.special_ids | codec.added_ids)]
    ends = {codec.decode((token,)) for token in stop_ids}
    # Inside a user turn the user's header stands before the system's own.
    own = before_system.strip().rpartition(headers[1])[2] if headers[1] else before_system
    found = [*headers, _system_header(own, marks, ends | {codec.decode(codec.lead)})]
    found = [header for header in found if header != codec.tokenizer.bos_token]
    return tuple(dict.fromkeys(header for header in found if len(header) > 1))


def _system_header(text: str, marks: Sequence[str], ends: set[str]) -> str:
    """The header of a system turn, which may begin with lines of the template's own."""
    opened = [mark for mark in marks if mark.strip() and mark not in ends]
    pattern = "|".join(re.escape(mark) for mark in sorted(opened, key=len, reverse=True))
    match = re.search(rf"(?:{pattern})\w+", text) if pattern else None
    if match is not None:
        return match[0]
    header = _header(text, marks, ends)
    # A line that merely happens to stand there ("Today is Friday.") marks nothing.
    return header if header and not (header[0].isalnum() and header[-1] != ":") else ""


def _header(text: str, marks: Sequence[str], ends: set[str]) -> str:
    """The role header that a piece of template text ends in.

    A bare word counts with the mark before it ("<|im_start|>assistant"); a word with punctuation
    of its own counts alone ("ASSISTANT:", "### Response:"); else the last mark is the header.
    """
    text = re.sub(rf"(?:{THINK_TAG}\s*)+\Z", "", text)
    known = [mark for mark in marks if mark.strip()]
    pattern = "|".join(re.escape(mark) for mark in sorted(known, key=len, reverse=True))
    pieces = re.split(f"({pattern})", text) if pattern else [text]
    pieces = [piece for piece in pieces if piece.strip()]
    if not pieces:
        return ""
    last = pieces[-1]
    before = pieces[-2] if len(pieces) > 1 else ""
    if last in known:
        # "<|start|>assistant<|end|>": the words stand before the last mark.
        if len(pieces) > 2 and re.fullmatch(_NAMED, before) and pieces[-3] in known:
            return pieces[-3] + before
        if last in ends and before.rstrip().endswith(":"):
            return _header("".join(pieces[:-1]), marks, ends)
        return "" if last in ends and before else last
    line = last.strip().splitlines()[-1].strip()
    if not re.search(r"\w", line):  # ">>>" names no role
        return _header("".join(pieces[:-1]) + last[: last.rindex(line)], marks, ends)
    if re.fullmatch(r"\w+", line):
        glued = before in known and before not in ends and not last[0].isspace()
        return before + line if glued else ""
    return line if len(line) <= _HEADER_LIMIT else line.split()[-1]
