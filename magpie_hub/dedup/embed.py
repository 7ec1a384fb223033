"""Embeddings of texts by a sentence-transformers model: unit vectors in float32.

A text's vector depends on the text and the model alone, not on what it is embedded beside. A
matrix product may round a row differently in a batch of another shape, so every batch has one of
a few fixed shapes: a padded length out of `LENGTHS`, and as many rows as `BATCH_TOKENS` allow; a
batch that is not full is filled up with copies. Measured on all-MiniLM-L6-v2, vectors then agree
to the bit over orders, neighbours and places in the batch. This holds for one machine, device,
number of threads and version of torch; between two of these the last bits may differ.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from magpie_hub.errors import EngineError, ModelError, one_line
from magpie_hub.models.source import ModelSource
from magpie_hub.torch_env import import_torch, importing

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

LENGTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Padded lengths in tokens; longer ones are multiples of the last."""

BATCH_TOKENS = {"cpu": 512, "cuda": 65_536}
"""Tokens of a batch, padding included: enough to keep the device busy."""

TOKENIZED_AT_ONCE = 4096
"""Texts whose tokens are in memory together."""


def load_embedder(source: ModelSource, *, device: str = "auto") -> Embedder:
    """Loads an embedding model.

    Args:
        source: A fetched source (`magpie_hub.models.source.fetch`).
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Raises:
        ModelError: sentence-transformers is not installed, or cannot load the model.
    """
    if source.path is None:
        raise ModelError(f"{source.name} is not fetched yet; call fetch() first.")
    import_torch()
    try:
        with importing():
            from sentence_transformers import SentenceTransformer
    except ImportError:
        raise ModelError(
            f"{source.name} needs sentence-transformers: pip install sentence-transformers."
        ) from None
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # float32 whatever the weights are stored in, as in the published similarity step.
        model = SentenceTransformer(
            str(source.path),
            device=device,
            local_files_only=True,
            model_kwargs={"dtype": torch.float32},
        )
    except Exception as error:  # the library raises whatever a model's own code does
        raise ModelError(
            f"{source.name} does not load as an embedding model: {one_line(error)}"
        ) from error
    return Embedder(source.name, source.revision, model.eval())


class Embedder:
    """An embedding model in memory; `close` frees it.

    Attributes:
        name: The model.
        revision: Its pinned revision.
        dim: Numbers in a vector.
    """

    def __init__(self, name: str, revision: str, model: SentenceTransformer) -> None:
        self.name, self.revision = name, revision
        self._model: SentenceTransformer | None = model
        self._prompt = (model.prompts or {}).get(model.default_prompt_name or "") or None
        self.dim = self._embed_distinct([""]).shape[1]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns a vector for each text; equal texts have equal vectors.

        Args:
            texts: Any texts. Lone surrogates count as "?"; of a text beyond the model's own limit
                its beginning counts. The model's default prompt, if it has one, is put in front.

        Returns:
            Shape (texts, dim), each of length 1.

        Raises:
            EngineError: The model answers something that is not a number.
        """
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        place = {text: n for n, text in enumerate(dict.fromkeys(clean))}
        vectors = self._embed_distinct(list(place)) if place else np.empty((0, self.dim))
        return vectors[[place[text] for text in clean]].astype(np.float32, copy=False)

    def close(self) -> None:
        """Frees the model and the GPU memory that it took."""
        self._model = None
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _embed_distinct(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        parts = []
        with torch.inference_mode():
            for begin in range(0, len(texts), TOKENIZED_AT_ONCE):
                parts.append(self._run(texts[begin : begin + TOKENIZED_AT_ONCE]))
        return _unit(np.concatenate(parts), self.name)

    def _run(self, texts: list[str]) -> NDArray[np.float32]:
        """Returns the model's own vectors of texts."""
        import torch

        model = self._model
        if model is None:
            raise ValueError("the embedder is closed")
        features = model.preprocess(texts, prompt=self._prompt)
        if "attention_mask" not in features:
            # A model without padding (static embeddings) has no shape to fix.
            return np.stack([model.encode(text) for text in texts])
        counts = features["attention_mask"].sum(dim=1).tolist()
        tokens = BATCH_TOKENS.get(model.device.type, BATCH_TOKENS["cpu"])
        result = np.empty((0, 0), np.float32)
        for length, rows in _batches(counts, tokens):
            inputs = {
                key: _shaped(model, key, value, rows, length).to(model.device)
                if isinstance(value, torch.Tensor)
                else value
                for key, value in features.items()
            }
            output = model(inputs)["sentence_embedding"].float().cpu().numpy()
            if not result.size:
                result = np.empty((len(texts), output.shape[1]), np.float32)
            result[rows] = output
        return result


def _batches(counts: Sequence[int], tokens: int) -> Iterator[tuple[int, list[int]]]:
    """Groups texts into batches of a fixed shape for each padded length.

    Args:
        counts: Tokens of each text.
        tokens: Tokens of a batch.

    Yields:
        A padded length and the texts' places; the last batch of a length is filled up with its
        own first text.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for place, count in enumerate(counts):
        groups[_padded_length(count)].append(place)
    for length, places in sorted(groups.items()):
        size = max(1, tokens // length)
        for begin in range(0, len(places), size):
            batch = places[begin : begin + size]
            yield length, batch + batch[:1] * (size - len(batch))


def _padded_length(count: int) -> int:
    """Returns the shortest padded length that holds so many tokens."""
    fits = (length for length in LENGTHS if length >= count)
    return next(fits, -(-count // LENGTHS[-1]) * LENGTHS[-1])


def _shaped(
    model: SentenceTransformer, key: str, value: torch.Tensor, rows: list[int], length: int
) -> torch.Tensor:
    """Cuts a batch out of tokenized texts, at a padded length."""
    from torch.nn.functional import pad

    tokenizer = model.tokenizer
    left = tokenizer.padding_side == "left"
    batch, width = value[rows], value.shape[1]
    if width >= length:
        return batch[:, width - length :] if left else batch[:, :length]
    filler = tokenizer.pad_token_id if key == "input_ids" else 0
    return pad(batch, (length - width, 0) if left else (0, length - width), value=filler)


def _unit(vectors: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Returns vectors at length 1; a vector of zeros becomes the first axis.

    Raises:
        EngineError: A vector is not finite.
    """
    if not np.isfinite(vectors).all():
        raise EngineError(f"{name} answers vectors that are not numbers.")
    precise = vectors.astype(np.float64)
    lengths = np.sqrt((precise * precise).sum(axis=1, keepdims=True))
    precise[lengths[:, 0] == 0, 0] = 1
    precise /= np.where(lengths == 0, 1, lengths)
    return precise.astype(np.float32)
