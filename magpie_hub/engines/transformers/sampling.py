"""Drawing the next tokens of a batch, each row by its own sampling and its own random stream.

One uniform number a token inverts the cumulative distribution, so that logits that differ in their
last bits, as they do from one batch shape to another, still give the same token nearly always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from magpie_hub.engines.transformers.batch import Row

if TYPE_CHECKING:
    import torch


def draw_tokens(rows: Sequence[Row], logits: torch.Tensor) -> list[int]:
    """Draws one token a row.

    Args:
        rows: What is drawn for.
        logits: Next-token logits, float32 [rows, vocabulary]; overwritten.
    """
    import torch

    # Half the devices have no float64; a vocabulary's worth of numbers is soon moved.
    logits = logits.cpu() if logits.device.type == "mps" else logits
    groups: dict[tuple[float, ...], list[int]] = {}
    for i, row in enumerate(rows):
        s = row.sampling
        if s.repetition_penalty != 1:
            logits[i] = _penalised(row, logits[i])
        groups.setdefault((s.temperature, s.top_k, s.top_p, s.min_p), []).append(i)
    tokens = [0] * len(rows)
    for (temperature, top_k, top_p, min_p), members in groups.items():
        scores = logits[members]
        if temperature == 0:
            drawn = scores.argmax(-1)
        else:
            for warp in _warpers(temperature, int(top_k), top_p, min_p):
                # The warpers look at the scores alone, not at the ids.
                scores = warp(None, scores)
            mass = scores.softmax(-1).double().cumsum(-1)
            uniform = mass.new_tensor([rows[i].uniform() for i in members])
            point = (uniform * mass[:, -1])[:, None]
            drawn = torch.searchsorted(mass, point, right=True)[:, 0].clamp(max=mass.shape[1] - 1)
        for i, token in zip(members, drawn.tolist(), strict=True):
            tokens[i] = token
    for row in rows:
        row.drawn = None
    return tokens


def _penalised(row: Row, logits: torch.Tensor) -> torch.Tensor:
    # Row by row, for in a padded batch the padding would be penalised, too.
    import torch
    from transformers import RepetitionPenaltyLogitsProcessor

    seen = torch.tensor([row.ids], device=logits.device)
    penalise = RepetitionPenaltyLogitsProcessor(float(row.sampling.repetition_penalty))
    return penalise(seen, logits[None])[0]


def _warpers(temperature: float, top_k: int, top_p: float, min_p: float) -> list[Any]:
    from transformers import (
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    warpers: list[Any] = []
    if temperature != 1:
        warpers.append(TemperatureLogitsWarper(float(temperature)))
    if top_k > 0:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(float(top_p)))
    if min_p > 0:
        warpers.append(MinPLogitsWarper(float(min_p)))
    return warpers
