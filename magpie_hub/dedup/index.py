"""Embeddings of a run's instructions, and the neighbour columns of a pool of rows.

Each row is embedded once and its vector kept beside the journal. The vectors of sets that must not
be repeated are kept there too, and those of published shards in the cache of shards. The columns of
a pool are computed from these. The last ones are kept, since a million rows take minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import json
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from magpie_hub.dedup.external import read_instructions
from magpie_hub.errors import UserError
from magpie_hub.files import new_file, write_file
from magpie_hub.models.source import fetch, pin
from magpie_hub.paths import SHARDS
from magpie_hub.recipe.fingerprint import fingerprint
from magpie_hub.recipe.judges import NeighborsConfig
from magpie_hub.store.shards import CachedShard

if TYPE_CHECKING:
    import numpy as np

    from magpie_hub.dedup.distance import Vectors
    from magpie_hub.dedup.embed import Embedder
    from magpie_hub.dedup.search import Earlier
    from magpie_hub.dedup.store import EmbeddingStore

CHUNK = 4096
"""Rows embedded between two commits."""

KEPT = 4
"""Pools whose columns are kept: what was judged and what is delivered, of two recipes."""

NO_LEADER = -1
"""In `NeighborTable.leader`: the row has no near-duplicate."""

Watch = Callable[[str, int, int], None]

_DIM = "dim.json"


@dataclass(frozen=True, slots=True)
class NeighborTable:
    """Neighbour columns of a pool.

    Attributes:
        row_ids: Its rows, rising.
        distance: Squared L2 to the nearest other row; nan in a pool of one.
        repeats: Rows nearer than the threshold.
        leader: The row's own id if it leads its near-duplicates, the lowest near-duplicate's id
            if it does not, `NO_LEADER` if it has none.
        published: Rows that repeat a set already published, with the uuid of what they repeat.
        uuid_of: Row id to uuid.
    """

    row_ids: np.ndarray[Any, Any]
    distance: np.ndarray[Any, Any]
    repeats: np.ndarray[Any, Any]
    leader: np.ndarray[Any, Any]
    published: Mapping[int, str]
    uuid_of: Callable[[int], str]

    def at(self, row_id: int) -> int | None:
        """A row's place in the table, if it is in the pool."""
        place = int(self.row_ids.searchsorted(row_id))
        return place if place < len(self.row_ids) and self.row_ids[place] == row_id else None

    def columns(self, row_id: int) -> dict[str, Any]:
        """A row's published columns; none if it is not in the pool."""
        place = self.at(row_id)
        if place is None:
            return {}
        distance, leader = float(self.distance[place]), int(self.leader[place])
        similar = None if leader == NO_LEADER else self.uuid_of(leader)
        return {
            "min_neighbor_distance": None if distance != distance else distance,
            "repeat_count": int(self.repeats[place]),
            "min_similar_uuid": self.published.get(row_id, similar),
        }


class NeighborIndex:
    """The neighbours of one run's rows.

    Args:
        settings: The recipe's section on neighbours.
        revision: Pinned revision of the embedding model.
        uuid_of: Row id to uuid.
        folder: Where vectors and columns are kept.
        home: The folder of packaged models, and of the cache of shards.
        published: Shards of the dataset itself that are published already.
    """

    def __init__(
        self,
        settings: NeighborsConfig,
        revision: str,
        uuid_of: Callable[[int], str],
        folder: Path,
        home: Path,
        published: Sequence[CachedShard] = (),
    ) -> None:
        self._settings = settings
        self._revision = revision
        self._uuid_of = uuid_of
        name = fingerprint({"model": settings.model, "revision": revision})
        self._folder = folder / f"neighbors-{name}"
        self._home = home
        self._published = published
        self._shards = home / SHARDS / f"vectors-{name}"

    def check(self) -> None:
        """Checks that the embedding library is installed; loads nothing.

        Raises:
            UserError: It is not.
        """
        if importlib.util.find_spec("sentence_transformers") is None:
            raise UserError(
                "judges.neighbors needs sentence-transformers: pip install 'magpie-hub[judges]', "
                "or switch it off (neighbors: null)"
            )

    def lacks(self, rows: Sequence[int]) -> bool:
        """Whether something must be embedded before the neighbours of these rows are known."""
        return self._earlier_lacks() or bool(self.missing(rows))

    def missing(self, rows: Sequence[int]) -> Sequence[int]:
        """Those of the rows that have no vector yet."""
        store = self._open()
        return rows if store is None else store.missing(rows).tolist()

    async def embed(
        self, rows: Sequence[int], instruction: Callable[[int], str], watch: Watch | None = None
    ) -> None:
        """Embeds the rows, and the rows of earlier sets, that have no vector yet.

        Args:
            rows: Rows to embed.
            instruction: A row's first instruction.
            watch: Called with ("neighbors", rows done, rows).

        Raises:
            UserError: The model or an earlier set is not available.
            EngineError: The model failed.
        """
        with closing(await asyncio.to_thread(self._load)) as embedder:
            await asyncio.to_thread(self._embed_earlier, embedder)
            store = self._create(embedder)
            done = len(rows) - len(store.missing(rows))
            parts = _embed(embedder, store, rows, instruction)
            while size := await asyncio.to_thread(next, parts, 0):
                done += size
                if watch is not None:
                    watch("neighbors", done, len(rows))

    def table(self, pool: Sequence[int]) -> NeighborTable:
        """Neighbour columns of those rows of a pool, in rising order, that have vectors."""
        import numpy as np

        from magpie_hub.dedup.search import find_near_duplicates

        store = None if self._earlier_lacks() else self._open()
        rows = np.asarray(pool, np.int64)
        rows = rows[:0] if store is None else rows[~np.isin(rows, store.missing(rows))]
        kept = self._folder / f"columns-{self._sign(rows.tobytes())}.npz"
        found = _load_columns(kept)
        if found is None and store is not None and len(rows):
            result = find_near_duplicates(
                rows, store.load(rows), self._settings.distance, earlier=self._earlier()
            )
            found = {
                "distance": result.min_neighbor_distance,
                "repeats": result.repeat_count,
                "leader": result.leader,
                "published": np.array([name or "" for name in result.published], np.str_),
            }
            _save_columns(kept, found)
        elif found is None:
            found = {
                "distance": np.empty(0),
                "repeats": np.empty(0, np.int64),
                "leader": np.empty(0, np.int64),
                "published": np.empty(0, np.str_),
            }
        published = {
            int(rows[place]): str(found["published"][place])
            for place in np.flatnonzero(found["published"] != "")
        }
        return NeighborTable(
            rows, found["distance"], found["repeats"], found["leader"], published, self._uuid_of
        )

    @property
    def published_rows(self) -> int:
        """Published rows that `sample` draws from, before the run's own."""
        return sum(shard.rows for shard in self._published)

    def sample(self, rows: Sequence[int], most: int) -> Vectors:
        """Vectors of some of the published rows and of these rows, the same for the same rows.

        Args:
            rows: Rows that have vectors.
            most: How many vectors at most.
        """
        import numpy as np

        parts: list[tuple[EmbeddingStore, Sequence[int]]] = [
            (self._vectors_of(shard), range(shard.rows)) for shard in self._published
        ]
        parts.append((self._stored(), rows))
        chosen = sample_rows(range(sum(len(ids) for _, ids in parts)), most)
        vectors, begin = [], 0
        for store, ids in parts:
            end = begin + len(ids)
            vectors.append(store.load([ids[n - begin] for n in chosen if begin <= n < end]))
            begin = end
        return np.concatenate(vectors)

    def sample_beside(self, name: str, most: int) -> Vectors:
        """Vectors of some instructions of another set, embedded when it is first asked for.

        Args:
            name: A release folder or a dataset's name.
            most: How many vectors at most.

        Raises:
            UserError: The set is not available.
        """
        part = f"beside-{most}-{_slug(name)}"
        store = self._open(part)
        if store is None or not len(store):
            with closing(self._load()) as embedder:
                pairs = list(read_instructions(name))
                some = sample_rows(range(len(pairs)), most)
                store = self._create(embedder, part)
                store.put(range(len(some)), embedder.embed([pairs[place][1] for place in some]))
        return store.load(range(len(store)))

    def _sign(self, rows: bytes) -> str:
        """Names what columns are computed from."""
        settings = self._settings.model_dump(
            mode="json", exclude={"model", "model_name", "revision"}
        )
        if self._published:
            settings["published"] = [shard.sha256 for shard in self._published]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode() + rows).hexdigest()[:32]

    def _load(self) -> Embedder:
        from magpie_hub.dedup.embed import load_embedder

        return load_embedder(fetch(pin(self._settings.model, self._revision), self._home))

    # ---- vectors

    def _open(self, part: str = "rows", folder: Path | None = None) -> EmbeddingStore | None:
        """The vectors of a part; None while nothing has been embedded."""
        from magpie_hub.dedup.store import EmbeddingStore

        folder = folder or self._folder
        if not (folder / _DIM).exists():
            return None
        dim = json.loads((folder / _DIM).read_text())
        return EmbeddingStore(folder / part, self._settings.model, self._revision, dim)

    def _stored(self, part: str = "rows", folder: Path | None = None) -> EmbeddingStore:
        store = self._open(part, folder)
        if store is None:
            raise ValueError(f"{folder or self._folder}: nothing is embedded yet")
        return store

    def _create(
        self, embedder: Embedder, part: str = "rows", folder: Path | None = None
    ) -> EmbeddingStore:
        """The vectors of a part; made if missing."""
        folder = folder or self._folder
        if not (folder / _DIM).exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / _DIM, json.dumps(embedder.dim))
        return self._stored(part, folder)

    # ---- sets already published

    def _embed_earlier(self, embedder: Embedder) -> None:
        """Embeds the sets that must not be repeated; once, whatever becomes of them later."""
        for name in self._unread_sets():
            pairs = list(read_instructions(name))
            _embed_pairs(embedder, self._create(embedder, _slug(name)), pairs)
            write_file(self._names(name), json.dumps([uuid for uuid, _ in pairs]))
        if not self._unread_shards():
            return
        # Each journal has a writer of its own, and all share the cache of shards.
        self._shards.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self._shards / "writer.lock"):
            for shard in self._unread_shards():
                store = self._create(embedder, shard.sha256, self._shards)
                _embed_pairs(embedder, store, list(shard.instructions()))

    def _earlier_lacks(self) -> bool:
        return bool(self._unread_sets() or self._unread_shards())

    def _unread_sets(self) -> list[str]:
        return [name for name in self._settings.against if not self._names(name).exists()]

    def _unread_shards(self) -> list[CachedShard]:
        found = [(shard, self._open(shard.sha256, self._shards)) for shard in self._published]
        return [shard for shard, store in found if store is None or len(store) < shard.rows]

    def _vectors_of(self, shard: CachedShard) -> EmbeddingStore:
        return self._stored(shard.sha256, self._shards)

    def _names(self, name: str) -> Path:
        return self._folder / f"{_slug(name)}.json"

    def _earlier(self) -> Earlier | None:
        import numpy as np

        from magpie_hub.dedup.search import Earlier

        uuids: list[str] = []
        vectors = []
        for name in self._settings.against:
            known = json.loads(self._names(name).read_text())
            vectors.append(self._stored(_slug(name)).load(range(len(known))))
            uuids += known
        for shard in self._published:
            vectors.append(self._vectors_of(shard).load(range(shard.rows)))
            uuids += [uuid for uuid, _ in shard.instructions()]
        return Earlier(uuids, np.concatenate(vectors)) if uuids else None


def _embed(
    embedder: Embedder,
    store: EmbeddingStore,
    rows: Sequence[int],
    text: Callable[[int], str],
) -> Iterator[int]:
    """Embeds the rows that have no vector yet; yields the rows of each commit."""
    fresh = store.missing(rows).tolist()
    for start in range(0, len(fresh), CHUNK):
        part = fresh[start : start + CHUNK]
        store.put(part, embedder.embed([text(row) for row in part]))
        yield len(part)


def _embed_pairs(
    embedder: Embedder, store: EmbeddingStore, pairs: Sequence[tuple[str, str]]
) -> None:
    """Embeds a set's instructions by their places."""
    for _ in _embed(embedder, store, range(len(pairs)), lambda place: pairs[place][1]):
        pass


def sample_rows(rows: Sequence[int], most: int) -> list[int]:
    """At most so many of the rows, in order."""
    if len(rows) <= most:
        return list(rows)
    draw = random.Random(0)
    return [rows[place] for place in sorted(draw.sample(range(len(rows)), most))]


def _slug(name: str) -> str:
    return f"published-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _load_columns(path: Path) -> dict[str, Any] | None:
    import numpy as np

    try:
        with np.load(path) as kept:
            return {key: kept[key] for key in kept.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None  # Not there, or spoilt: it can be computed again.


def _save_columns(path: Path, columns: dict[str, Any]) -> None:
    import numpy as np

    # A full or read-only disk costs the next look its time.
    with contextlib.suppress(OSError):
        with new_file(path) as partial, partial.open("wb") as file:
            np.savez(file, **columns)
        kept = sorted(path.parent.glob("columns-*.npz"), key=lambda file: file.stat().st_mtime)
        for old in kept[:-KEPT]:
            old.unlink(missing_ok=True)
