"""Texts that are known to be harmless, by their hashes, so that none is looked at twice.

One set serves all threads of a scan, and lives no longer. Hashes have 128 bits and a seed of their
own in each scan: two texts that share one cannot be made, and do not turn up.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

LONG = 256
"""Bytes of the shortest text that is remembered: a shorter one is looked at as fast."""
MOST = 2_000_000
"""Hashes that are kept, in some 200 MB."""


class TextCache:
    """Harmless texts."""

    def __init__(self) -> None:
        self._seed = secrets.randbits(64)
        self._known: set[bytes] = set()

    def __contains__(self, digest: bytes) -> bool:
        """Whether a text is known."""
        return digest in self._known

    def add(self, digests: Iterable[bytes]) -> None:
        """Remembers texts, as long as there is room."""
        if len(self._known) < MOST:
            self._known.update(digests)

    def digests(self, texts: pa.Array) -> Iterator[tuple[int, bytes]]:
        """The hashes of the long ones of some texts, with their indices.

        Args:
            texts: Of type ``large_binary``.
        """
        import numpy as np
        from xxhash import xxh3_128_digest

        if not len(texts):
            return
        _, bounds, data = texts.buffers()
        ends = np.frombuffer(bounds, np.int64, len(texts) + 1, 8 * texts.offset)
        long = np.flatnonzero(np.diff(ends) >= LONG)
        if not len(long):
            return
        view, seed = memoryview(data), self._seed
        spans = zip(long.tolist(), ends[long].tolist(), ends[long + 1].tolist(), strict=True)
        for at, begin, end in spans:
            yield at, xxh3_128_digest(view[begin:end], seed)
