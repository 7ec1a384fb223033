"""Coverage: embeddings of one or several sets, laid out in two dimensions by one t-SNE."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from magpie_hub.torch_env import importing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 5
"""Rows under which there is nothing to lay out."""


def project(
    sets: Mapping[str, NDArray[np.float32]], *, most: int = 2000, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Lays all sets out together, so that places compare.

    On one machine the same vectors give the same points: it runs on one thread, as sums over
    several come out in the order in which these finish. Another processor rounds otherwise, and
    t-SNE makes another map of it.

    Args:
        sets: Vectors of shape (rows, dim) by name, of one dim.
        most: Rows taken of a set, drawn evenly.
        seed: Of the draw and of t-SNE.

    Returns:
        Points of shape (rows taken, 2), in the order of the rows, by name of the sets that have
        rows. Empty if all sets together have fewer than `LEAST` different rows, or if
        scikit-learn (extra "judges") is not installed.
    """
    if importlib.util.find_spec("sklearn") is None:
        return {}
    import numpy as np

    taken = {name: _sample(rows, most, seed) for name, rows in sets.items() if len(rows)}
    if sum(map(len, taken.values())) < LEAST:
        return {}
    together = np.concatenate(list(taken.values()))
    if len(np.unique(together, axis=0)) < LEAST:
        return {}
    points = _tsne(together, seed)
    ends = np.cumsum([len(rows) for rows in taken.values()])
    return dict(zip(taken, np.split(points, ends[:-1]), strict=True))


def _sample(rows: NDArray[np.float32], most: int, seed: int) -> NDArray[np.float32]:
    """Rows drawn without replacement, in their order."""
    import numpy as np

    if len(rows) > most:
        drawn = np.random.default_rng(seed).choice(len(rows), most, replace=False)
        rows = rows[np.sort(drawn)]
    return np.asarray(rows, np.float32)


def _tsne(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    import numpy as np

    with importing():
        from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if vectors.shape[1] < 2:  # PCA gives no more axes than there are.
        vectors = np.pad(vectors, ((0, 0), (0, 2 - vectors.shape[1])))
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    layout = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
    with threadpool_limits(limits=1):
        return np.asarray(layout.fit_transform(vectors), np.float32)
