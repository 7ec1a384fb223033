"""Near-duplicates of a large set: time, recall and memory, beside the official code's way.

    .venv/bin/python benchmarks/neighbors.py [--rows 1000000] [--exact]

Vectors are made, not embedded: topics, subjects within them and phrasings, over axes of falling
weight as in text embeddings, so that a row's nearest neighbour is usually at a squared distance of
0.2 to 0.8; a twentieth of the rows are planted near another row, up to the threshold. The official
way (faiss, flat L2, the nearest 500, batches of 1,024) is measured on one batch against all rows,
and scaled; the batch's figures are then compared with ours. Memory counts the vectors and the
search's own, over what the process had before. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psutil
from numpy.typing import NDArray

from magpie_hub.dedup.search import THRESHOLD, NearDuplicates, find_near_duplicates

DIM = 384
PLANTED = 0.05
OFFICIAL_K, OFFICIAL_BATCH = 500, 1024
Vectors = NDArray[np.float32]


def unit(vectors: Vectors) -> Vectors:
    """Vectors at length 1."""
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def make(rows: int) -> tuple[Vectors, NDArray[np.int64]]:
    """Makes vectors.

    Returns:
        The vectors, and for each row the row that it was planted near; itself if it was not.
    """
    draw = np.random.default_rng(7)
    weight = ((1 + np.arange(DIM)) ** -0.5).astype(np.float32)

    def directions(count: int) -> Vectors:
        return unit(draw.standard_normal((count, DIM), np.float32) * weight)

    common, topics, items = directions(1), directions(300), directions(rows // 20 + 1)
    topic_of = draw.integers(0, len(topics), len(items))
    vectors = np.empty((rows, DIM), np.float32)
    near = np.arange(rows)
    for begin in range(0, rows, 10_000):
        part = slice(begin, min(begin + 10_000, rows))
        size = part.stop - begin
        item = draw.integers(0, len(items), size)
        # Two phrasings of a subject are about twice this apart.
        share = draw.uniform(0.1, 0.4, (size, 1)).astype(np.float32)
        meaning = 0.3 * common + 0.5 * topics[topic_of[item]] + 0.8 * items[item]
        mixed = np.sqrt(1 - share) * unit(meaning) + np.sqrt(share) * directions(size)
        vectors[part] = unit(mixed.astype(np.float32))
        planted = begin + np.flatnonzero(draw.random(size) < PLANTED)
        planted = planted[planted > 0]
        near[planted] = (draw.random(len(planted)) * planted).astype(np.int64)
        away = np.sqrt(draw.uniform(0, THRESHOLD, (len(planted), 1))).astype(np.float32)
        vectors[planted] = unit(vectors[near[planted]] + away * directions(len(planted)))
    return vectors, near


def recall(vectors: Vectors, near: NDArray[np.int64], found: NearDuplicates) -> tuple[int, float]:
    """Counts the planted near-duplicates, and the part of them that was found."""
    planted = np.flatnonzero(near != np.arange(len(near)))
    apart = vectors[planted].astype(np.float64) - vectors[near[planted]]
    planted = planted[(apart**2).sum(axis=1) < THRESHOLD]
    led = (found.leader[planted] >= 0) & (found.leader[planted] <= near[planted])
    return len(planted), float(led.mean())


def official(vectors: Vectors, found: NearDuplicates) -> dict[str, Any]:
    """Runs a batch as the official code does, and compares."""
    import faiss

    index = faiss.IndexFlatL2(DIM)
    index.add(vectors)
    batch = np.linspace(0, len(vectors) - 1, OFFICIAL_BATCH).astype(np.int64)
    begun = time.perf_counter()
    distances, _ = index.search(vectors[batch], OFFICIAL_K)
    seconds = time.perf_counter() - begun
    repeats = (distances < THRESHOLD).sum(axis=1) - 1
    nearest = found.min_neighbor_distance[batch]
    return {
        "official_seconds_scaled": round(seconds * len(vectors) / OFFICIAL_BATCH, 1),
        "repeat_counts_agree": round(float((repeats == found.repeat_count[batch]).mean()), 4),
        # The official distances carry float32's error, far under this.
        "nearest_agree": round(float((nearest < distances[:, 1] + 1e-4).mean()), 4),
        "nearest_too_far_by": round(float((nearest - distances[:, 1]).mean()), 5),
        "median_nearest": round(float(np.median(distances[:, 1])), 3),
    }


def section(found: dict[str, Any]) -> str:
    """This benchmark's part of the report."""
    return f"""## Near-duplicates

`benchmarks/neighbors.py`: {found["rows"]:,} vectors of {found["dim"]} numbers in
**{found["seconds"]} s**; {found["recall"]:.2%} of {found["planted"]:,} planted near-duplicates
found; {found["peak_memory_over_vectors"]} times the vectors' memory. The official way (flat search,
the nearest 500), measured on a batch and scaled: {found["official_seconds_scaled"]:,} s,
**{found["times_faster"]} times** as long.
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--exact", action="store_true", help="compare all pairs")
    chosen = parser.parse_args()
    before = psutil.Process().memory_info().rss
    vectors, near = make(chosen.rows)
    begun = time.perf_counter()
    found = find_near_duplicates(np.arange(chosen.rows), vectors, exact=chosen.exact)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    planted, share = recall(vectors, near, found)
    result = {
        "rows": chosen.rows,
        "dim": DIM,
        "exact": chosen.exact,
        "seconds": round(seconds, 1),
        "planted": planted,
        "recall": round(share, 5),
        "rows_with_near_duplicates": int((found.repeat_count > 0).sum()),
        "peak_memory_over_vectors": round((peak - before) / vectors.nbytes, 2),
        **official(vectors, found),
    }
    result["times_faster"] = round(result["official_seconds_scaled"] / seconds, 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
