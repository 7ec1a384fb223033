"""Closeness: embeddings of a journal's instructions, and the neighbour columns of a pool.

Embeddings are made once a row and kept beside the journal, those of the sets that must not be
repeated likewise, and those of published shards on the shelf. The columns of a pool are a function
of these; the last ones computed are kept, since a million rows take minutes.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
import random
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from magpie_hub.dedup.external import read_published
from magpie_hub.dedup.table import NeighborTable
from magpie_hub.errors import UserError
from magpie_hub.generate.plan import Plan, row_uuid
from magpie_hub.models.source import fetch, pin
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import fingerprint
from magpie_hub.recipe.judges import NeighborsConfig
from magpie_hub.store.shards import CachedShard

if TYPE_CHECKING:
    from magpie_hub.dedup.distance import Vectors
    from magpie_hub.dedup.embed import Embedder
    from magpie_hub.dedup.search import Earlier
    from magpie_hub.dedup.store import EmbeddingStore

CHUNK = 4096
"""Rows embedded between two commits."""

KEPT = 4
"""Pools whose columns are kept: what was judged and what is delivered, of two recipes."""

Watch = Callable[[str, int, int], None]

_DIM = "dim.json"


class NeighborIndex:
    """The neighbours of one journal's rows.

    Args:
        recipe: The recipe.
        settings: Its section on neighbours.
        revision: Pinned revision of the embedding model.
        generator: The generator's name, of which uuids are made.
        folder: Where vectors and columns are kept.
        home: The folder of packaged models, and of the shelf.
        published: Shards of the dataset itself that are published already.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: NeighborsConfig,
        revision: str,
        generator: str,
        folder: Path,
        home: Path,
        published: Sequence[CachedShard] = (),
    ) -> None:
        self._plan = Plan(recipe)
        self._settings = settings
        self._revision = revision
        self._generator = generator
        name = fingerprint({"model": settings.model, "revision": revision})
        self._folder = folder / f"neighbors-{name}"
        self._home = home
        self._published = published
        self._shelf = home / "shelf" / f"vectors-{name}"

    def check(self) -> None:
        """Looks whether what embeds is installed; loads nothing.

        Raises:
            UserError: It is not.
        """
        if importlib.util.find_spec("sentence_transformers") is None:
            raise UserError(
                "judges.neighbors needs sentence-transformers: pip install 'magpie-hub[judges]', "
                "or switch it off (neighbors: null)"
            )

    def lacks(self, rows: Sequence[int]) -> bool:
        """Whether something is to be embedded before the neighbours of these rows are known."""
        return bool(self._unread()) or bool(self.missing(rows))

    def missing(self, rows: Sequence[int]) -> Sequence[int]:
        """Those of the rows that have no vector yet."""
        store = self._store()
        return rows if store is None else store.missing(rows).tolist()

    async def embed(
        self, rows: Sequence[int], instruction: Callable[[int], str], watch: Watch | None = None
    ) -> None:
        """Embeds the rows, and the rows of earlier sets, that have no vector yet.

        Args:
            rows: Rows to be embedded.
            instruction: A row's first instruction.
            watch: Told how far it is.

        Raises:
            UserError: The model or an earlier set cannot be had.
            EngineError: The model failed.
        """
        await asyncio.to_thread(self._prepare_earlier)
        embedder = await asyncio.to_thread(self._load)
        try:
            store = self._store() or self._begin(embedder)
            fresh = store.missing(rows).tolist()
            done = len(rows) - len(fresh)
            for start in range(0, len(fresh), CHUNK):
                part = fresh[start : start + CHUNK]
                texts = [instruction(row_id) for row_id in part]
                store.put(part, await asyncio.to_thread(embedder.embed, texts))
                done += len(part)
                if watch is not None:
                    watch("neighbors", done, len(rows))
        finally:
            embedder.close()

    def table(self, pool: Sequence[int]) -> NeighborTable:
        """Neighbour columns of those rows of a pool, in rising order, that have vectors."""
        import numpy as np

        from magpie_hub.dedup.search import find_near_duplicates

        store = self._store()
        rows = np.asarray(pool, np.int64)
        if store is not None and not self._unread():
            lacking = set(store.missing(rows).tolist())
            rows = rows[[row_id not in lacking for row_id in rows.tolist()]]
        else:
            rows = rows[:0]
        kept = self._folder / f"columns-{self._sign(rows.tobytes())}.npz"
        found = _load_columns(kept)
        if found is None:
            if store is not None and len(rows):
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
            else:
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
            rows, found["distance"], found["repeats"], found["leader"], published, self._uuid
        )

    def sample(self, rows: Sequence[int], most: int) -> Vectors:
        """Vectors of some of the published rows and these, the same for the same rows."""
        import numpy as np

        parts: list[tuple[EmbeddingStore | None, Sequence[int]]] = [
            (self._shelved(shard), range(shard.rows)) for shard in self._published
        ]
        parts.append((self._store(), rows))
        chosen = _some(range(sum(len(ids) for _, ids in parts)), most)
        vectors, begin = [], 0
        for store, ids in parts:
            assert store is not None
            end = begin + len(ids)
            vectors.append(store.load([ids[n - begin] for n in chosen if begin <= n < end]))
            begin = end
        return np.concatenate(vectors)

    def sample_beside(self, name: str, most: int) -> Vectors:
        """Vectors of some instructions of another set, embedded when it is first asked for.

        Args:
            name: A release folder or a dataset's name.
            most: How many.

        Raises:
            UserError: The set cannot be had.
        """
        part = f"beside-{most}-{_slug(name)}"
        store = self._store(part)
        if store is None or not len(store):
            embedder = self._load()
            try:
                pairs = list(read_published(name))
                some = _some(range(len(pairs)), most)
                store = self._begin(embedder, part)
                store.put(range(len(some)), embedder.embed([pairs[place][1] for place in some]))
            finally:
                embedder.close()
        return store.load(range(len(store)))

    def _uuid(self, row_id: int) -> str:
        return row_uuid(self._generator, self._plan.row(row_id).seed)

    def _sign(self, rows: bytes) -> str:
        """Names what columns were computed from."""
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

    def _store(self, part: str = "rows", folder: Path | None = None) -> EmbeddingStore | None:
        """The vectors; None while nothing has been embedded."""
        from magpie_hub.dedup.store import EmbeddingStore

        folder = folder or self._folder
        if not (folder / _DIM).exists():
            return None
        dim = json.loads((folder / _DIM).read_text())
        return EmbeddingStore(folder / part, self._settings.model, self._revision, dim)

    def _begin(
        self, embedder: Embedder, part: str = "rows", folder: Path | None = None
    ) -> EmbeddingStore:
        folder = folder or self._folder
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / _DIM, json.dumps(embedder.dim).encode())
        store = self._store(part, folder)
        assert store is not None
        return store

    # ---- sets already published

    def _prepare_earlier(self) -> None:
        """Embeds the sets that must not be repeated; once, whatever becomes of them later."""
        if not self._unread():
            return
        embedder = self._load()
        try:
            for name in self._unread_sets():
                pairs = list(read_published(name))
                _embed(embedder, self._begin(embedder, _slug(name)), pairs)
                _write(self._names(name), json.dumps([uuid for uuid, _ in pairs]).encode())
            if self._published:
                self._embed_shelf(embedder)
        finally:
            embedder.close()

    def _embed_shelf(self, embedder: Embedder) -> None:
        """Embeds the published shards; journals have a writer each, and share the shelf."""
        self._shelf.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self._shelf / "writer.lock"):
            for shard in self._unread_shards():
                store = self._begin(embedder, shard.sha256, self._shelf)
                _embed(embedder, store, list(shard.instructions()))

    def _unread(self) -> bool:
        return bool(self._unread_sets() or self._unread_shards())

    def _unread_sets(self) -> list[str]:
        return [name for name in self._settings.against if not self._names(name).exists()]

    def _unread_shards(self) -> list[CachedShard]:
        found = [(shard, self._shelved(shard)) for shard in self._published]
        return [shard for shard, store in found if store is None or len(store) < shard.rows]

    def _shelved(self, shard: CachedShard) -> EmbeddingStore | None:
        return self._store(shard.sha256, self._shelf)

    def _names(self, name: str) -> Path:
        return self._folder / f"{_slug(name)}.json"

    def _earlier(self) -> Earlier | None:
        import numpy as np

        from magpie_hub.dedup.search import Earlier

        uuids: list[str] = []
        vectors = []
        for name in self._settings.against:
            store = self._store(_slug(name))
            assert store is not None
            known = json.loads(self._names(name).read_text())
            vectors.append(store.load(range(len(known))))
            uuids += known
        for shard in self._published:
            store = self._shelved(shard)
            assert store is not None
            vectors.append(store.load(range(shard.rows)))
            uuids += [uuid for uuid, _ in shard.instructions()]
        return Earlier(uuids, np.concatenate(vectors)) if uuids else None


def _embed(embedder: Embedder, store: EmbeddingStore, pairs: Sequence[tuple[str, str]]) -> None:
    """Embeds those of a set's instructions that have no vector yet, by their places."""
    fresh = store.missing(range(len(pairs))).tolist()
    for start in range(0, len(fresh), CHUNK):
        part = fresh[start : start + CHUNK]
        store.put(part, embedder.embed([pairs[place][1] for place in part]))


def _some(rows: Sequence[int], most: int) -> list[int]:
    """At most so many of the rows, in order."""
    if len(rows) <= most:
        return list(rows)
    draw = random.Random(0)
    return [rows[place] for place in sorted(draw.sample(range(len(rows)), most))]


def _slug(name: str) -> str:
    return f"published-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.new")
    partial.write_bytes(content)
    partial.replace(path)


def _load_columns(path: Path) -> dict[str, Any] | None:
    import numpy as np

    try:
        with np.load(path) as kept:
            return {key: kept[key] for key in kept.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None  # Not there, or spoilt: it can be computed again.


def _save_columns(path: Path, columns: dict[str, Any]) -> None:
    import numpy as np

    partial = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with partial.open("wb") as file:
            np.savez(file, **columns)
        partial.replace(path)
        kept = sorted(path.parent.glob("columns-*.npz"), key=lambda file: file.stat().st_mtime)
        for old in kept[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        partial.unlink(missing_ok=True)  # A full or read-only disk costs the next look its time.
