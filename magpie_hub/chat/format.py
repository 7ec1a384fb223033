"""The chat format: builds prompts in token ids, and reads the ids that an engine returns.

`derive` makes a `ChatFormat` from a tokenizer. It joins finished turns and the template's ids into
prompts, and cuts and trims what a model wrote. Nothing is tokenised again in between: a turn keeps
the ids that the model wrote, so a prompt extends the one before it if the template allows that.

Notation: in `s0 q1 s1 a1 s2 q2 s3 …` the `q` and `a` are the words of the user and the assistant,
and the segments `s` are the template's. A prompt for `n` finished turns has segments s0 … s(2n+1).
White space that fuses with the first token of the words belongs to the words, not the template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from magpie_hub.chat.codec import Codec, Ids
from magpie_hub.chat.thinking import Thinking
from magpie_hub.errors import ChatFormatError
from magpie_hub.recipe.chat import ChatOptions

SystemStyle = Literal["role", "in_first_user", "in_last_user", "prefixed"]
"""Where a system prompt is: in a turn of its own; in the first or the last user turn, written by
the template; or before the first user words, added by us if the template has no place for it."""

Turn = tuple[Sequence[int], Sequence[int]]
"""A finished turn: ids of the user's words, ids of the assistant's words."""


@dataclass(frozen=True, slots=True)
class Segments:
    """The template's part of one prompt: s0 … s(2n+1) for n finished turns.

    Attributes:
        ids: Token ids of each segment.
        texts: Rendered text of each segment, white space that the words own included.
        gaps: White space that the template leaves to the words, as text (for example " ").
    """

    ids: tuple[Ids, ...]
    texts: tuple[str, ...]
    gaps: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Said:
    """The words of a turn, read from a completion.

    Attributes:
        ids: The words; for an answer, without its thinking.
        fault: Why the completion is rejected: "thinking" where none is wanted or again in the
            answer, "unfinished_thinking", "empty" after a thought. None if nothing is wrong.
        ended: Whether an end of turn was found in the completion, so that nothing is cut off.
    """

    ids: Ids
    fault: str | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """Everything that the package knows of a model's chat template.

    Attributes:
        options: What it was derived with.
        system_style: Where a system prompt stands.
        stop_ids: Tokens that end a user's turn, sorted; without thinking, an answer too.
        answer_stop_ids: Tokens that end an answer, sorted: with thinking, none that stands
            between the thought and the answer.
        special_ids: Tokens that never belong in the words of a turn.
        markers: Role headers as text ("<|im_start|>assistant", "### Response:", "ASSISTANT:").
        thinking: How thinking shows.
        cuts: Header of plain text that ends a user's turn, and one that ends an assistant's, where
            no token does; "" where one does.
        suffix: Text that the template puts between the user's words and the end of their turn.
        switch: Variables, found by trying, that the template is given to think or not to.
        codec: The tokenizer.
        segments: Returns the `Segments` for a number of finished turns and a system prompt; raises
            `ChatFormatError` if the template cannot write them.
    """

    options: ChatOptions
    system_style: SystemStyle
    stop_ids: Ids
    answer_stop_ids: Ids
    special_ids: frozenset[int]
    markers: tuple[str, ...]
    thinking: Thinking
    cuts: tuple[str, str]
    suffix: str
    switch: Mapping[str, Any]
    codec: Codec = field(repr=False, compare=False)
    segments: Callable[[int, str | None], Segments] = field(repr=False, compare=False)

    @property
    def supports_system(self) -> bool:
        """Whether the template itself has a place for a system prompt."""
        return self.system_style != "prefixed"

    @property
    def pre_query(self) -> Ids:
        """Ids up to the first user words: the pre-query template."""
        return self.segments(0, None).ids[0]

    @property
    def post_query(self) -> Ids:
        """Ids between the user's words and an answer that the model writes next."""
        return self.segments(0, None).ids[1]

    @property
    def history_post_query(self) -> Ids:
        """Ids between the user's words and an answer of a finished turn."""
        return self.segments(1, None).ids[1]

    @property
    def next_query(self) -> Ids:
        """Ids between a finished answer and the next user words.

        Raises:
            ChatFormatError: The template takes a single turn only.
        """
        return self.segments(1, None).ids[2]

    def pre_query_with(self, system: str | None) -> Ids:
        """The pre-query template under a system prompt."""
        return self.segments(0, system).ids[0]

    def query_prompt(self, turns: Sequence[Turn] = (), system: str | None = None) -> list[int]:
        """Prompt after which the model writes the next user words.

        Args:
            turns: Finished turns, trimmed ids.
            system: System prompt, or None for the template's own default.

        Returns:
            Token ids; with no turns the pre-query template.

        Raises:
            ChatFormatError: The template takes no such conversation.
        """
        parts = self.segments(len(turns), system).ids
        prompt = list(parts[0])
        for number, (query, answer) in enumerate(turns):
            prompt += query
            prompt += parts[2 * number + 1]
            prompt += self.visible(answer)
            prompt += parts[2 * number + 2]
        return prompt

    def answer_prompt(
        self, turns: Sequence[Turn], query_ids: Sequence[int], system: str | None = None
    ) -> list[int]:
        """Prompt after which the model writes the assistant's words.

        Args:
            turns: Finished turns before this one, trimmed ids.
            query_ids: The user's words, trimmed.
            system: System prompt, or None for the template's own default.

        Raises:
            ChatFormatError: The template takes no such conversation.
        """
        last = self.segments(len(turns), system).ids[-1]
        return [*self.query_prompt(turns, system), *query_ids, *last]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids: special tokens stay visible, spaces stay as they are."""
        return self.codec.decode(ids)

    def trim_end(self, ids: Sequence[int]) -> Ids:
        """`ids` without white space tokens at the end."""
        end = len(ids)
        while end and self.codec.is_space(ids[end - 1]):
            end -= 1
        return tuple(ids[:end])

    def trim(self, ids: Sequence[int]) -> Ids:
        """`ids` without white space tokens at both ends: the words as later prompts hold them.

        White space at the start stays where the template leaves exactly that to the words (the
        space of "[INST] 7", which has no token of its own in "[INST] Hello").
        """
        ids = self.trim_end(ids)
        start = 0
        while start < len(ids) and self.codec.is_space(ids[start]):
            start += 1
        gaps = self.segments(0, None).gaps
        lead = "".join(self.codec.decode((token,)) for token in ids[:start]) or " "
        return ids if start and lead in gaps else ids[start:]

    def visible(self, ids: Sequence[int]) -> Ids:
        """An answer without its thinking, as later turns show it; unchanged without a block."""
        if not self.options.thinking:
            return tuple(ids)
        said = self.read_answer(ids)
        return tuple(ids) if said.fault else said.ids

    def said(self, role: str, ids: Sequence[int], text: str | None = None) -> Said:
        """Reads the words of a turn again: a pure function of them and of the format.

        Args:
            role: "user" or "assistant".
            ids: As the model wrote them.
            text: Their text, if it is known.
        """
        if role == "assistant" and self.options.thinking:
            return self.read_answer(ids)
        shown = self.thinking.shows(self.decode(ids) if text is None else text)
        return Said(tuple(ids), "thinking" if shown else None)

    def read_answer(self, ids: Sequence[int]) -> Said:
        """Finds the words of an answer that may begin with a thought.

        These are faults: a thought without an end, an answer that starts to think again or ends a
        thought that it never began, and a thought without an answer.
        """
        ids = tuple(ids)
        if not self.options.thinking:
            return self.said("assistant", ids)
        text, thinking = self.decode(ids), self.thinking
        thought = thinking.opened or thinking.begins(text)
        if thought:
            end = thinking.close_pattern.search(text)
            if end is None:
                return Said((), "unfinished_thinking")
            ids = self._after(ids, text[: end.end()])
        elif thinking.header_pattern is not None:
            header = thinking.header_pattern.match(text)
            ids = self._after(ids, text[: header.end()]) if header else ids
        stop = next((at for at, token in enumerate(ids) if token in self.stop_ids), None)
        ids = self.trim(ids[:stop]) if thought else self.trim_end(ids[:stop])
        answer = self.decode(ids)
        if thinking.again(answer):
            return Said(ids, "thinking", stop is not None)
        empty = thought and not answer.strip()
        return Said(ids, "empty" if empty else None, stop is not None)

    def _after(self, ids: Ids, head: str) -> Ids:
        """`ids` behind the text `head` that theirs begins with.

        Where one token holds the end of it and more, what is left is tokenised again.
        """
        low, high = 0, len(ids)
        while low < high:
            middle = (low + high) // 2
            if self.decode(ids[:middle]).startswith(head):
                high = middle
            else:
                low = middle + 1
        shared = self.decode(ids[:low])[len(head) :]
        rest = ids[low:]
        return (*self.codec.encode(shared), *rest) if shared.strip() else rest

    def cut_query(self, ids: Sequence[int]) -> tuple[Ids, bool]:
        """Cuts a user turn at the header of the answer, where no stop token ends it.

        Needed by templates such as Llama-2's ("[/INST]") and Vicuna's ("ASSISTANT:"), whose user
        turns end in ordinary tokens; an engine stops on single ids only.

        Returns:
            The ids before the header (all of them if there is none), and whether it was there.
        """
        ids, found = self._cut(ids, self.cuts[0])
        if found or not self.suffix:
            return ids, found
        kept = self.trim_end(ids)
        text = self.decode(kept)
        if not text.endswith(self.suffix):
            return ids, False
        words = text.removesuffix(self.suffix).rstrip()
        while kept and not words.startswith(self.decode(kept)):
            kept = kept[:-1]
        # A token that holds the last of the words and more is tokenised again without the more.
        lost = words[len(self.decode(kept)) :]
        return self.trim_end((*kept, *self.codec.encode(lost)) if lost.strip() else kept), False

    def cut_answer(self, ids: Sequence[int]) -> tuple[Ids, bool]:
        """Cuts an answer at the header of the next user turn, where no stop token ends it.

        Raises:
            ChatFormatError: The template takes a single turn only.
        """
        self.segments(1, None)
        return self._cut(ids, self.cuts[1])

    def to_json(self) -> dict[str, object]:
        """The format as plain data, for the journal and for the user."""

        def part(ids: Ids, text: str) -> dict[str, object]:
            return {"ids": list(ids), "text": self.decode(ids), "rendered": text}

        one = self.segments(0, None)
        data: dict[str, object] = {
            "pre_query": part(one.ids[0], one.texts[0]),
            "post_query": part(one.ids[1], one.texts[1]),
            "history_post_query": None,
            "next_query": None,
            "system_style": self.system_style,
            "stop_ids": list(self.stop_ids),
            "stop_tokens": [self.decode((token,)) for token in self.stop_ids],
            "answer_stop_ids": list(self.answer_stop_ids),
            "answer_stop_tokens": [self.decode((token,)) for token in self.answer_stop_ids],
            "markers": list(self.markers),
            "thinking": self.options.thinking,
            "thinking_marks": (
                [self.thinking.open, self.thinking.close] if self.thinking.known else None
            ),
            "template_kwargs": dict(self.options.template_kwargs),
            "switch": dict(self.switch),
            "date": self.options.date,
        }
        two = self._second_turn()
        if two is not None:
            data["history_post_query"] = part(two.ids[1], two.texts[1])
            data["next_query"] = part(two.ids[2], two.texts[2])
        return data

    def _second_turn(self) -> Segments | None:
        try:
            return self.segments(1, None)
        except ChatFormatError:
            return None

    def _cut(self, ids: Sequence[int], header: str) -> tuple[Ids, bool]:
        ids = tuple(ids)
        if not header:
            return ids, False
        # A header that begins with a letter must not be found inside a word ("Robot:").
        pattern = (r"(?<!\w)" if header[0].isalnum() else "") + re.escape(header)
        text = self.decode(ids)
        match = re.search(pattern, text)
        if match is None:
            return ids, False
        # First the shortest run of tokens that holds the header, then back to where it begins:
        # no shorter search, as half a character decodes to more characters than the whole.
        low, high = 1, len(ids)
        while low < high:
            middle = (low + high) // 2
            if re.search(pattern, self.decode(ids[:middle])):
                high = middle
            else:
                low = middle + 1
        while low and not text[: match.start()].startswith(self.decode(ids[:low])):
            low -= 1
        return self.trim_end(ids[:low]), True
