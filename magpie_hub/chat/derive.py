"""Derives the chat format of any tokenizer from its own chat template.

There is no table of models. Conversations of probe words are rendered and tokenised as a whole, as
the model saw them in training. Then the words of one slot are varied and the others kept: what all
variants share before and after that slot belongs to the template. The probes begin and end in
different scripts, so a space or newline that fuses with a word's first token counts as part of the
word, not of the template.

The result is checked on other words before it is used: the joined parts equal the whole, token for
token; the ids decode to the rendered text; the beginning-of-sequence token is there exactly once.
If a check fails, the template is refused with the reason and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from magpie_hub.chat.codec import Codec, Ids, find_ids
from magpie_hub.chat.format import ChatFormat, Segments
from magpie_hub.chat.marks import (
    find_answer_stop_ids,
    find_ending,
    find_headers,
    find_markers,
    find_stop_ids,
    find_thinking,
    used_controls,
)
from magpie_hub.chat.renderer import PieceRenderer, Renderer, TemplateRenderer
from magpie_hub.chat.template import OVERRIDE, locate
from magpie_hub.chat.trial import try_out
from magpie_hub.errors import ChatFormatError, one_line
from magpie_hub.recipe.chat import ChatOptions

# How probe words begin and end. All letters: punctuation fuses with neighbours that it never
# meets in practice, and the words' first token would then swallow parts of a role header.
_ENDS = (
    ("What", "lunch"),
    ("the", "House"),
    ("I", "x"),
    ("Почему", "мир"),
    ("你", "世界"),
    ("École", "café"),
)
# For the checks: letters must match token for token, the others as text.
_FRESH = (("How", "tomato"), ("a", "Green"), ("Write", "python"))
_FRESH_TEXT = (("42", "7"), ("¿Qué", "?!"), ("- list", "end."))

_CACHE_LIMIT = 4096


def derive(
    tokenizer: Any,
    *,
    generation_eos: int | Sequence[int] | None = (),
    options: ChatOptions | None = None,
) -> ChatFormat:
    """Derives the chat format of a tokenizer.

    Args:
        tokenizer: A `transformers` tokenizer.
        generation_eos: The `eos_token_id` of the model's generation config, unchanged.
        options: What the recipe says under `chat:`.

    Returns:
        The format, checked for one, two and three turns without a system prompt. A template that
        takes a single turn only is accepted; it raises when more turns are needed.

    Raises:
        ChatFormatError: No usable pre-query template can be derived; one line with the reason
            and what to put into the recipe.
    """
    options = options or ChatOptions()
    codec = Codec.of(tokenizer)
    try:
        try_out(lambda: _render_all(tokenizer, codec, options))
        renderer = _renderer(tokenizer, options)
        source = SegmentSource(codec, renderer)
        one = source(0, None)
        further = _further_turns(source)
        _check_told(codec, one, further)
        eos = (generation_eos,) if isinstance(generation_eos, int) else generation_eos or ()
        forms = renderer.forms
        headers = find_headers(codec, one, further, forms, eos)
        stop_ids = find_stop_ids(codec, one, further, forms, headers, eos, options.stop)
        thinking = find_thinking(codec, forms)
        header, suffix = find_ending(codec, one.texts[1], headers[0])
        follow = find_ending(codec, further[0].texts[2], headers[1])[0] if further else ""
        return ChatFormat(
            options=options,
            system_style=renderer.style,
            stop_ids=stop_ids,
            answer_stop_ids=find_answer_stop_ids(
                codec, further, forms, stop_ids, thinking, options, headers[1]
            ),
            special_ids=codec.special_ids | used_controls(codec, (one, *further)),
            markers=find_markers(codec, _before_system(source), headers, stop_ids),
            thinking=thinking,
            cuts=(header, follow),
            suffix=suffix,
            switch=forms.switch,
            codec=codec,
            segments=source,
        )
    except ChatFormatError as error:
        raise ChatFormatError(f"{codec.name}{error}") from error


def _render_all(tokenizer: Any, codec: Codec, options: ChatOptions) -> None:
    """Everything that is derived from the template."""
    source = SegmentSource(codec, _renderer(tokenizer, options))
    source(0, None)
    _further_turns(source)
    _before_system(source)


class SegmentSource:
    """Segments by the number of finished turns and the system prompt: derived once, then cached."""

    def __init__(self, codec: Codec, renderer: Renderer) -> None:
        self._codec = codec
        self._renderer = renderer
        self._known: dict[tuple[int, str | None], Segments] = {}

    def __call__(self, turns: int, system: str | None) -> Segments:
        """Returns the segments of a conversation of this many turns."""
        key = (turns, system)
        if key not in self._known:
            found = self._repeated(turns, system) or self._probed(turns, system)
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            self._known[key] = found
        return self._known[key]

    def _repeated(self, turns: int, system: str | None) -> Segments | None:
        """Later turns by repetition, if the first three show that the template repeats itself."""
        if turns < 3:
            return None
        one, two, three = (self(n, system) for n in range(3))
        repeat = two.ids[1:3]
        if any(
            known.ids != (one.ids[0], *(repeat * n), one.ids[1])
            for n, known in enumerate((one, two, three))
        ):
            return None
        return Segments(
            (one.ids[0], *(repeat * turns), one.ids[1]),
            (one.texts[0], *(two.texts[1:3] * turns), one.texts[1]),
            two.gaps,
        )

    def _probed(self, turns: int, system: str | None) -> Segments:
        raw = _probe(self._codec, self._renderer, turns, system)
        _check(self._codec, self._renderer, raw, system)
        return _chained(raw)


def _renderer(tokenizer: Any, options: ChatOptions) -> Renderer:
    if options.pre_query is None and options.post_query is None and options.next_query is None:
        return TemplateRenderer(tokenizer, options)
    try:
        return PieceRenderer(options, TemplateRenderer(tokenizer, options))
    except ChatFormatError:
        if options.pre_query is None or options.post_query is None:
            raise
        return PieceRenderer(options, None)


def _further_turns(source: SegmentSource) -> tuple[Segments, ...]:
    try:
        return source(1, None), source(2, None)
    except ChatFormatError:
        return ()


def _before_system(source: SegmentSource) -> str:
    """What the template writes up to a system prompt, or "" where it has no place for one."""
    probe = "be 8v8 brief"
    try:
        before, found, _ = source(0, probe).texts[0].partition(probe)
    except ChatFormatError:
        return ""
    return before if found else ""


def _word(slot: int, ends: tuple[str, str]) -> str:
    return f"{ends[0]} {slot}v{slot} {ends[1]}"


def _common_prefix(sequences: Sequence[Ids]) -> int:
    shortest = min(sequences, key=len)
    for at, token in enumerate(shortest):
        if any(ids[at] != token for ids in sequences):
            return at
    return len(shortest)


def _bare(text: str) -> str:
    return "".join(text.split())


def _probe(codec: Codec, render: Renderer, turns: int, system: str | None) -> Segments:
    """Finds the segments of a prompt with `turns` finished turns."""
    slots = range(2 * turns + 1)
    words = [_word(slot, _ENDS[slot % len(_ENDS)]) for slot in slots]
    text = render(words, system)
    texts = locate(text, words)
    base = codec.encode_prompt(text, words[0])
    spans: list[tuple[int, int]] = []
    for slot in slots:
        variants = [base]
        for ends in _ENDS:
            changed = [*words[:slot], _word(slot, ends), *words[slot + 1 :]]
            variants.append(codec.encode_prompt(render(changed, system), changed[0]))
        variants = list(dict.fromkeys(variants))
        tail = _common_prefix([ids[::-1] for ids in variants])
        spans.append((_common_prefix(variants), len(base) - tail))
    edges = [0, *(edge for span in spans for edge in span), len(base)]
    if edges != sorted(edges):
        raise ChatFormatError(f"the chat template puts nothing between two turns; {OVERRIDE}")
    ids = tuple(base[edges[i] : edges[i + 1]] for i in range(0, len(edges), 2))
    gaps = set()
    for index, (part, rendered) in enumerate(zip(ids, texts, strict=True)):
        seen = codec.decode_after(base[: edges[2 * index]], part)
        if codec.lead and not index:
            seen = seen.removeprefix(codec.decode(codec.lead))
            rendered = rendered.removeprefix(codec.decode(codec.lead))
        if _bare(seen) != _bare(rendered):
            raise ChatFormatError(
                f"the template's text {one_line(rendered, 60)!r} fuses with the words beside it, "
                f"or the tokenizer cannot spell it (it reads {one_line(seen, 60)!r}); {OVERRIDE}"
            )
        if index + 1 < len(ids):
            owed = rendered[len(rendered.rstrip()) :]
            gaps.add(owed if owed != seen[len(seen.rstrip()) :] else "")
    return Segments(ids, texts, frozenset(gaps - {""}))


def _check(codec: Codec, render: Renderer, found: Segments, system: str | None) -> None:
    """Holds the segments against conversations of fresh words."""
    _check_beginning(codec, found)
    slots = range(len(found.ids) - 1)
    for ends in (*_FRESH, *_FRESH_TEXT):
        words = [_word(slot, ends) for slot in slots]
        whole = codec.encode_prompt(render(words, system), words[0])
        if ends in _FRESH:
            parts = _words_in_place(codec, found, whole)
            if parts is None:
                raise ChatFormatError(
                    f"the chat template's tokens change with the words between them; {OVERRIDE}"
                )
            # Later prompts hold trimmed words: no white space of the template may go with them.
            same = codec.decode(_join(found, parts)) == codec.decode(whole)
        else:
            parts = [codec.encode(word) for word in words]
            same = _bare(codec.decode(_join(found, parts))) == _bare(codec.decode(whole))
        if not same:
            raise ChatFormatError(
                f"the chat template's parts do not join to the text that it renders; {OVERRIDE}"
            )


def _check_beginning(codec: Codec, found: Segments) -> None:
    first = found.ids[0]
    lead = codec.lead
    if not lead and first[:1] == (codec.tokenizer.bos_token_id,):
        lead = first[:1]
    if lead and first[: 2 * len(lead)] == lead * 2:
        raise ChatFormatError(
            f"the prompt begins with {codec.decode(lead)!r} twice; leave it out of the template: "
            f"{OVERRIDE}"
        )


def _check_told(codec: Codec, one: Segments, further: Sequence[Segments]) -> None:
    """Refuses a format in which nothing marks the user's turn.

    The mark that opens it may be the BOS token itself: the next user's turn shows that.
    """
    bos = codec.lead or (codec.tokenizer.bos_token_id,)
    rest = _bare(one.texts[0])
    if one.ids[0][: len(bos)] == bos:
        rest = rest.removeprefix(_bare(codec.decode(bos)))
    again = further[0].ids[2] if further else ()
    if not rest and again[-len(bos) :] != bos:
        raise ChatFormatError(
            f"the pre-query template is empty: nothing tells the model to be the user; {OVERRIDE}"
        )


def _words_in_place(codec: Codec, found: Segments, whole: Ids) -> list[Ids] | None:
    """Ids of each slot's words inside a whole render, trimmed; None if a segment is not there."""
    if whole[: len(found.ids[0])] != found.ids[0]:
        return None
    parts: list[Ids] = []
    start = len(found.ids[0])
    for part in found.ids[1:]:
        last = len(parts) == len(found.ids) - 2
        at = len(whole) - len(part) if last else find_ids(whole, part, start)
        if at < start or whole[at : at + len(part)] != part:
            return None
        words = whole[start:at]
        while words and codec.is_space(words[-1]):
            words = words[:-1]
        parts.append(words)
        start = at + len(part)
    return parts


def _join(found: Segments, words: Sequence[Ids]) -> Ids:
    ids = list(found.ids[0])
    for part, after in zip(words, found.ids[1:], strict=True):
        ids += (*part, *after)
    return tuple(ids)


def _chained(found: Segments) -> Segments:
    """Keeps the generation prompt in finished turns if they differ from it in white space only.

    The model's text has its own white space. The prompt of the next turn then extends the one
    before it token for token, so that the engine's prefix cache can be used.
    """
    last, text = found.ids[-1], found.texts[-1]
    same = [i % 2 == 1 and _bare(found.texts[i]) == _bare(text) for i in range(len(found.ids))]
    ids = tuple(last if same[i] else part for i, part in enumerate(found.ids))
    return Segments(ids, found.texts, found.gaps)
