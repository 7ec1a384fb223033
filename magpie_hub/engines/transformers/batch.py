"""The batch of the transformers engine: rows, their KV cache and their mask, on one device.

Rows are padded on the left to one length. How they come and go depends on the model's cache. Plain
attention caches are cut and joined in place, new rows being prefilled on their own. For any other
kind (sliding windows, recurrent states) the batch is rebuilt: the unfinished rows are prefilled
with all their tokens, which every model can do.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from magpie_hub.engines.base import Completion, FinishReason, Sampling

if TYPE_CHECKING:
    import torch


@dataclass(slots=True, eq=False)
class Row:
    """One request on its way.

    The thread that decodes owns all of it, save `cancelled`, which the caller sets. `matcher`
    follows the row's pattern, if it has one; `drawn` is the number that its next token is drawn
    with, once it is known and until the token is.
    """

    prompt: tuple[int, ...]
    sampling: Sampling
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Completion]
    matcher: Any = None
    out: list[int] = field(default_factory=list)
    stream: random.Random = field(init=False)
    drawn: float | None = None
    done: bool = False
    cancelled: bool = False

    def __post_init__(self) -> None:
        # Not torch's generator: on a CPU it takes 32 bits of its seed, too few for a million rows.
        self.stream = random.Random(self.sampling.seed)

    @property
    def ids(self) -> list[int]:
        """Prompt and completion so far."""
        return [*self.prompt, *self.out]

    def uniform(self) -> float:
        """The number in [0, 1) for the next token: the same again if the step must be repeated."""
        if self.drawn is None:
            self.drawn = self.stream.random()
        return self.drawn

    def finish(self, reason: FinishReason, stop_id: int | None = None) -> None:
        """Hands the completion to the caller."""
        self._tell(Completion(tuple(self.out), reason, stop_id))

    def fail(self, error: Exception) -> None:
        """Hands an error to the caller."""
        self._tell(error)

    def _tell(self, outcome: Completion | Exception) -> None:
        self.done = True

        def resolve() -> None:
            if self.future.done():
                return
            if isinstance(outcome, Exception):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)

        try:
            self.loop.call_soon_threadsafe(resolve)
        except RuntimeError:
            # The caller's event loop is closed; no caller waits any more.
            self.cancelled = True


class Batch:
    """Rows, their cache and their attention mask, left-padded to one length."""

    def __init__(self, model: Any) -> None:
        self.rows: list[Row] = []
        self._model = model
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        # Without it a prefill makes logits of every prompt token: gigabytes at a real vocabulary.
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._cache: Any = None
        self._mask: Any = None

    @property
    def running(self) -> list[Row]:
        """The rows that still want tokens."""
        return [row for row in self.rows if not (row.done or row.cancelled)]

    def free(self) -> None:
        """Gives the memory of model and cache back."""
        self._model = None
        self.clear()

    def clear(self) -> None:
        """Drops all rows and gives the memory of the cache back."""
        import torch

        self.rows, self._cache, self._mask = [], None, None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def advance(self, keep: list[Row], new: list[Row]) -> tuple[list[Row], torch.Tensor]:
        """Drops rows that are not in `keep`, then prefills `new`, or else decodes one token each.

        Args:
            keep: What `running` said.
            new: Rows to add; one of the two must hold a row.

        Returns:
            The rows that get a token now, and their next-token logits [rows, vocabulary].
        """
        if not keep:
            self._cache = None
        if self._cache is not None and _is_plain(self._cache):
            self._select(keep)
            if not new:
                return keep, self._decode()
            cache, mask = self._cache, self._mask
            logits = self._prefill(new)
            self._join(cache, mask)
            self.rows = [*keep, *new]
            return new, logits
        if self._cache is None or new or 2 * len(keep) <= len(self.rows):
            self.rows = [*keep, *new]
            return self.rows, self._prefill(self.rows)
        # Finished rows of a cache that cannot be cut are decoded along until the next rebuild.
        logits = self._decode()
        return keep, logits[[i for i, row in enumerate(self.rows) if row in keep]]

    def _prefill(self, rows: list[Row]) -> torch.Tensor:
        import torch

        ids = [row.ids for row in rows]
        length = max(map(len, ids))
        padded = [[0] * (length - len(row)) + row for row in ids]
        mask = [[0] * (length - len(row)) + [1] * len(row) for row in ids]
        device = self._model.device
        self._cache = None
        self._mask = torch.tensor(mask, device=device)
        return self._forward(torch.tensor(padded, device=device))

    def _decode(self) -> torch.Tensor:
        import torch

        device = self._model.device
        last = torch.tensor([[row.out[-1]] if row.out else [0] for row in self.rows], device=device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self.rows), 1)], dim=1)
        return self._forward(last)

    def _forward(self, ids: torch.Tensor) -> torch.Tensor:
        extra: dict[str, Any] = dict(self._last_only)
        if self._takes_positions:
            positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
            extra["position_ids"] = positions[:, -ids.shape[1] :]
        out = self._model(
            input_ids=ids,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            **extra,
        )
        # Recurrent models name their cache otherwise.
        self._cache = out.get("past_key_values", out.get("cache_params"))
        logits: torch.Tensor = out.logits[:, -1].float()
        return logits

    def _select(self, keep: list[Row]) -> None:
        """Cuts a plain cache down to the rows of `keep` and to their longest."""
        if len(keep) == len(self.rows):
            return
        index = [i for i, row in enumerate(self.rows) if row in keep]
        self._mask = self._mask[index]
        pad = int(self._mask.argmax(dim=1).min())
        self._mask = self._mask[:, pad:]
        for layer in self._cache.layers:
            layer.keys = layer.keys[index, :, pad:]
            layer.values = layer.values[index, :, pad:]
        self.rows = keep

    def _join(self, cache: Any, mask: torch.Tensor) -> None:
        """Puts a plain cache and its mask in front of the batch's own, padded on the left."""
        import torch
        from torch.nn.functional import pad

        length = max(mask.shape[1], self._mask.shape[1])

        def both(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
            parts = [pad(part, (0, 0, length - part.shape[2], 0)) for part in (theirs, ours)]
            return torch.cat(parts)

        for ours, theirs in zip(self._cache.layers, cache.layers, strict=True):
            ours.keys, ours.values = both(ours.keys, theirs.keys), both(ours.values, theirs.values)
        masks = [pad(part, (length - part.shape[1], 0)) for part in (mask, self._mask)]
        self._mask = torch.cat(masks)


def _is_plain(cache: Any) -> bool:
    """Whether every layer of the cache is a pair of tensors [rows, heads, tokens, size]."""
    # By the exact name: a subclass keeps more than the two, and older versions have no such class.
    layers = getattr(cache, "layers", None) or []
    return bool(layers) and all(type(layer).__name__ == "DynamicLayer" for layer in layers)
