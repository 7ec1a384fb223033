"""Patterns for the transformers engine: xgrammar says which tokens may come next.

A pattern is compiled once for a tokenizer; each row under it has a matcher of its own that follows
the tokens drawn. Rows without a pattern keep their logits as they are.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from magpie_hub.engines.regex import end_ids
from magpie_hub.engines.transformers.batch import Row
from magpie_hub.errors import EngineError, UserError, one_line

if TYPE_CHECKING:
    import torch

_CACHE_BYTES = 512 * 2**20
"""Compiled patterns that are kept; one of label names takes some 100 KB, free text a few MB."""


def check_installed() -> None:
    """Looks whether patterns can be followed here.

    Raises:
        UserError: The package xgrammar is missing.
    """
    if importlib.util.find_spec("xgrammar") is None:
        raise UserError(
            "engine transformers needs the package xgrammar to hold a model to its labels: "
            "pip install 'magpie-hub[judges]'"
        )


class Grammars:
    """Compiles patterns for one tokenizer.

    Attributes:
        ends: What ends a completion under a pattern, beside the request's own stop ids.
    """

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        """Takes a tokenizer of transformers, and the width of the model's logits."""
        import xgrammar

        self.ends = end_ids(tokenizer, vocabulary)
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary)
        self._compiler = xgrammar.GrammarCompiler(info, cache_limit_bytes=_CACHE_BYTES)

    def matcher(self, pattern: str, stop_ids: Sequence[int]) -> Any:
        """Returns a matcher at the beginning of a pattern, compiled unless it is known.

        Args:
            pattern: As `portable` writes it.
            stop_ids: Tokens that may come where the pattern is complete, and nowhere else.

        Raises:
            EngineError: xgrammar does not take them.
        """
        import xgrammar

        try:
            compiled = self._compiler.compile_regex(pattern)
            return xgrammar.GrammarMatcher(compiled, override_stop_tokens=list(stop_ids))
        except RuntimeError as error:
            text = one_line(error, 500)
            raise EngineError(f"the pattern is refused: {text}: {pattern!r}") from error


def mask_tokens(rows: Sequence[Row], logits: torch.Tensor) -> None:
    """Leaves each row under a pattern only the tokens that its pattern lets through.

    A row to which none is left fails; its tokenizer cannot spell what has to come next.

    Args:
        rows: What is drawn for.
        logits: Next-token logits, float32 [rows, vocabulary]; overwritten.
    """
    held = [i for i, row in enumerate(rows) if row.matcher is not None]
    if not held:
        return
    import torch
    import xgrammar

    width = logits.shape[1]
    words = xgrammar.allocate_token_bitmask(len(held), width)
    for slot, i in enumerate(held):
        rows[i].matcher.fill_next_token_bitmask(words, slot)
    bits = torch.arange(32, dtype=words.dtype, device=logits.device)
    allowed = ((words.to(logits.device)[:, :, None] >> bits) & 1).flatten(1)[:, :width].bool()
    for slot, some in enumerate(allowed.any(1).tolist()):
        if not some:
            rows[held[slot]].fail(
                EngineError("no token of this model, save a stop token, carries the pattern on")
            )
            allowed[slot] = True  # its draw is thrown away, but has to be one
    logits[held] = logits[held].masked_fill(~allowed, float("-inf"))
