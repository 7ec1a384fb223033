"""Equal vectors, found once: so that a text repeated a thousand times is compared as one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magpie_hub.dedup.distance import Places, Vectors

_ROWS = 4096  # Rows whose bits are in memory as 64-bit numbers.


@dataclass(frozen=True, slots=True)
class ExactDuplicates:
    """Which vectors there are.

    Attributes:
        first: Each distinct vector's first place in the order, ascending.
        weight: How often it occurs.
        group: For each place in the order, which of the distinct vectors it holds.
    """

    first: Places
    weight: NDArray[np.int64]
    group: Places


def distinct(vectors: Vectors, order: Places) -> ExactDuplicates:
    """Groups vectors that are equal to the bit.

    Args:
        vectors: float32 of shape (rows, dim).
        order: An order of the rows, in which the first of a group is the first.
    """
    hashes = _hashes(vectors, order)
    by_hash = np.argsort(hashes, kind="stable")
    begins = np.ones(len(order), bool)
    begins[1:] = hashes[by_hash[1:]] != hashes[by_hash[:-1]]
    head = by_hash[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    later = np.flatnonzero(~begins)
    for begin in range(0, len(later), _ROWS):
        part = later[begin : begin + _ROWS]
        mine, theirs = vectors[order[by_hash[part]]], vectors[order[head[part]]]
        # Two vectors may share a hash; the later one is then on its own, which is always sound.
        other = (mine.view(np.uint32) != theirs.view(np.uint32)).any(axis=1)
        head[part[other]] = by_hash[part[other]]
    of_place = np.empty(len(order), np.int64)
    of_place[by_hash] = head
    first, group, weight = np.unique(of_place, return_inverse=True, return_counts=True)
    return ExactDuplicates(first, weight, group)


def _hashes(vectors: Vectors, order: Places) -> NDArray[np.uint64]:
    """Returns a 64-bit hash of each vector's bits: a sum of them with random factors."""
    factors = np.random.default_rng(0).integers(0, 2**64, vectors.shape[1], np.uint64)
    hashes = np.empty(len(order), np.uint64)
    for begin in range(0, len(order), _ROWS):
        part = slice(begin, begin + _ROWS)
        bits = vectors[order[part]].view(np.uint32).astype(np.uint64)
        bits *= factors
        hashes[part] = bits.sum(axis=1)
    return hashes
