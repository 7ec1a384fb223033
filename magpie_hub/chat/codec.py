"""A tokenizer, as a chat format uses it.

A prompt is encoded as a whole, and special tokens are recognised by their text. What the tokenizer
itself puts before any text (its BOS) is there exactly once before the first words: a template that
writes the BOS, at its start or later, and a template that leaves it to the tokenizer give the same
ids. Nothing here imports a library; the tokenizer is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Ids = tuple[int, ...]


def find_ids(ids: Sequence[int], part: Sequence[int], start: int = 0) -> int:
    """Index of the first occurrence of `part` in `ids` from `start` on, or -1."""
    wanted = tuple(part)
    for at in range(start, len(ids) - len(wanted) + 1):
        if tuple(ids[at : at + len(wanted)]) == wanted:
            return at
    return -1


@dataclass(frozen=True, slots=True)
class Codec:
    """Text to ids and back, under the rules of prompts.

    Attributes:
        tokenizer: A `transformers` tokenizer.
        lead: Ids that the tokenizer puts before any text by itself, usually its BOS or nothing.
        special_ids: Ids of every token flagged special.
        added_ids: Ids outside the ordinary vocabulary; `special_ids` is among them.
    """

    tokenizer: Any = field(repr=False)
    lead: Ids
    special_ids: frozenset[int]
    added_ids: frozenset[int]
    # The Rust tokenizer, if the Python one decodes by it alone: Python's part of a call takes
    # longer than the call.
    _backend: Any = field(default=None, repr=False, compare=False)
    # The last tokens of every completion are looked up, and there are few different ones.
    _spaces: dict[int, bool] = field(default_factory=dict, init=False, repr=False, compare=False)
    _controls: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, tokenizer: Any) -> Codec:
        """Reads what the rules need from a tokenizer."""
        added = dict(getattr(tokenizer, "added_tokens_decoder", None) or {})
        special = set(tokenizer.all_special_ids)
        special.update(i for i, token in added.items() if getattr(token, "special", False))
        bare = list(tokenizer("x", add_special_tokens=False)["input_ids"])
        full = list(tokenizer("x")["input_ids"])
        lead = tuple(full[: max(find_ids(full, bare), 0)])
        special_ids, added_ids = frozenset(special), frozenset(special | added.keys())
        return cls(tokenizer, lead, special_ids, added_ids, _backend(tokenizer))

    @property
    def name(self) -> str:
        """How a message about this tokenizer begins: "NAME: ", or nothing."""
        name = str(getattr(self.tokenizer, "name_or_path", "") or "")
        return f"{name}: " if name else ""

    def encode(self, text: str) -> Ids:
        """Ids of a piece of text; special tokens are recognised, none is added."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def encode_prompt(self, text: str, words: str = "") -> Ids:
        """Ids of a whole prompt, with the tokenizer's own beginning exactly once.

        Args:
            text: The prompt.
            words: Its first words: a beginning that the template writes anywhere before them
                counts, not only at the very start.
        """
        ids = self.encode(text)
        if ids[: len(self.lead)] == self.lead:
            return ids
        head = text.partition(words)[0] if words else ""
        written = bool(head) and find_ids(self.encode(head), self.lead) >= 0
        return ids if written else self.lead + ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids: special tokens visible, spaces as they are."""
        if not ids:
            return ""
        if self._backend is not None:
            return str(self._backend.decode(ids, skip_special_tokens=False))
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return str(text)

    def decode_after(self, before: Sequence[int], ids: Sequence[int]) -> str:
        """Text that `ids` add to `before`; unlike `decode`, keeps a leading metaspace."""
        head, whole = self.decode(before), self.decode((*before, *ids))
        return whole[len(head) :] if whole.startswith(head) else self.decode(ids)

    def is_space(self, token: int) -> bool:
        """Whether a token is white space and nothing else (a lone metaspace decodes to "")."""
        known = self._spaces.get(token)
        if known is None:
            known = token not in self.special_ids and not self.decode((token,)).strip()
            self._spaces[token] = known
        return known

    def is_control(self, token: int) -> bool:
        """Whether a token is a mark rather than text.

        Some tokenizers add their turn marks without the special flag, and some add runs of white
        space or HTML tags: a token outside the ordinary vocabulary counts when it is bracketed.
        """
        if token in self.special_ids:
            return True
        text = self.decode((token,)).strip()
        return token in self.added_ids and len(text) > 2 and text[0] in "<[" and text[-1] in ">]"

    def controls(self) -> Mapping[str, int]:
        """Every mark by its text, white space around it cut."""
        if not self._controls:
            tokens = sorted(self.special_ids | self.added_ids)
            found = {self.decode((i,)).strip(): i for i in tokens if self.is_control(i)}
            self._controls.update(found)
        return self._controls

    def single(self, text: str) -> int | None:
        """The one token that is exactly this text, or None."""
        ids = self.encode(text)
        return ids[0] if len(ids) == 1 else None


def _backend(tokenizer: Any) -> Any:
    """The Rust tokenizer of a fast tokenizer that changes nothing of how it decodes, else None."""
    from transformers import PreTrainedTokenizerFast

    kind = type(tokenizer)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        return None
    same = all(
        getattr(kind, name) is getattr(PreTrainedTokenizerFast, name)
        for name in ("decode", "_decode")
    )
    return tokenizer.backend_tokenizer if same else None
