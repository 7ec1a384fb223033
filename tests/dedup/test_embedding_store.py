"""The embedding store: what went in comes out, whatever kills the process in between."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.dedup import store
from magpie_hub.dedup.store import EmbeddingStore
from magpie_hub.errors import JournalError

DIM = 8


def open_store(folder: Path, model: str = "org/model", dim: int = DIM) -> EmbeddingStore:
    return EmbeddingStore(folder, model, "0" * 40, dim)


def vectors_of(row_ids: object) -> np.ndarray:
    """A vector by which a row is known again."""
    column = np.asarray(row_ids, np.float32)[:, None]
    return (column + np.arange(DIM, dtype=np.float32) / 16).astype(np.float32)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART_ROWS", 4)


def test_vectors_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    kept = open_store(tmp_path / "new" / "store")
    kept.put([9, 3, 5, 7, 1, 11], vectors_of([9, 3, 5, 7, 1, 11]))
    kept.put([0], vectors_of([0]))
    for again in (kept, open_store(tmp_path / "new" / "store")):
        assert len(again) == 7
        assert again.load([11, 0, 3, 3, 9]).tolist() == vectors_of([11, 0, 3, 3, 9]).tolist()
        assert again.load([11]).dtype == np.float32
        assert again.load([]).shape == (0, DIM)
        assert again.missing([12, 9, 2, 11]).tolist() == [12, 2]


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 60), unique=True, max_size=15), max_size=6), st.data())
def test_it_is_a_table_by_row_id(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("store")
    kept, known = open_store(folder), set[int]()
    for row_ids in calls:
        fresh = kept.missing(row_ids)
        assert set(fresh) == set(row_ids) - known
        kept.put(fresh, vectors_of(fresh))
        known |= set(row_ids)
    asked = data.draw(st.lists(st.sampled_from(sorted(known)))) if known else []
    assert open_store(folder).load(asked).tolist() == vectors_of(asked).tolist()


def test_a_vector_is_final(tmp_path: Path) -> None:
    kept = open_store(tmp_path)
    kept.put([1, 2], vectors_of([1, 2]))
    for row_ids in ([2, 3], [4, 4]):
        with pytest.raises(ValueError, match="final"):
            kept.put(row_ids, vectors_of(row_ids))
    with pytest.raises(ValueError, match="shape"):
        kept.put([3], np.zeros((1, DIM + 1), np.float32))
    with pytest.raises(KeyError, match="row 3"):
        kept.load([1, 3])


# ---- killed, missing, damaged


WRITER = """
import sys
from pathlib import Path
import numpy as np
from magpie_hub.dedup import store
from magpie_hub.dedup.store import EmbeddingStore
store.PART_ROWS = 512
kept = EmbeddingStore(Path(sys.argv[1]), "org/model", "0" * 40, 8)
begin = 0
while True:
    rows = np.arange(begin, begin + 2048)
    kept.put(rows, (rows[:, None] + np.arange(8) / 16).astype(np.float32))
    begin += 2048
"""


def test_a_killed_writer_loses_no_file_that_was_finished(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    root = Path(__file__).resolve().parents[2]
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], cwd=root)
    try:
        deadline = time.monotonic() + 60
        while len(list(folder.glob("*.parquet"))) < 5:
            assert writer.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    kept = open_store(folder)
    rows = np.arange(len(kept))
    assert len(rows) >= 5 * 512
    assert not len(kept.missing(rows))
    assert kept.load(rows).tolist() == vectors_of(rows).tolist()
    kept.put([len(rows)], vectors_of([len(rows)]))
    assert len(open_store(folder)) == len(rows) + 1


def test_what_was_half_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = open_store(tmp_path)
    kept.put([0, 1], vectors_of([0, 1]))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        kept.put([2, 3], vectors_of([2, 3]))
    again = open_store(tmp_path)
    assert again.missing([0, 1, 2, 3]).tolist() == [2, 3]
    again.put([2, 3], vectors_of([2, 3]))
    assert open_store(tmp_path).load([3, 0]).tolist() == vectors_of([3, 0]).tolist()
    assert not list(tmp_path.glob("*.partial"))


def test_a_lost_file_is_embedded_again_and_overwrites_no_other(tmp_path: Path) -> None:
    rows = list(range(12))
    open_store(tmp_path).put(rows, vectors_of(rows))
    (tmp_path / "part-00001.parquet").unlink()
    kept = open_store(tmp_path)
    assert kept.missing(rows).tolist() == [4, 5, 6, 7]
    kept.put([4, 5, 6, 7], vectors_of([4, 5, 6, 7]))
    assert open_store(tmp_path).load(rows).tolist() == vectors_of(rows).tolist()


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    open_store(tmp_path).put([1, 2, 3, 4, 5], vectors_of([1, 2, 3, 4, 5]))
    part = tmp_path / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:keep])
    with pytest.raises(JournalError, match=r"part-00001\.parquet.*remove the file"):
        open_store(tmp_path)


def test_a_flipped_bit_in_a_vector_is_found(tmp_path: Path) -> None:
    open_store(tmp_path).put([1, 2], vectors_of([1, 2]))
    part = tmp_path / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    at = content.find(vectors_of([2]).tobytes())
    assert at > 0
    content[at] ^= 1
    part.write_bytes(content)
    kept = open_store(tmp_path)
    with pytest.raises(JournalError, match=r"part-00000\.parquet"):
        kept.load([1])


def test_other_peoples_files_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"row_id": [1], "vector": [[0.0] * DIM]}), tmp_path / "mine.parquet")
    with pytest.raises(JournalError, match=r"mine\.parquet: it holds no embeddings"):
        open_store(tmp_path)


@pytest.mark.parametrize(
    ("model", "dim"), [("org/another", DIM), ("org/model", DIM + 1)], ids=["model", "dim"]
)
def test_another_models_vectors_are_not_mixed_in(tmp_path: Path, model: str, dim: int) -> None:
    open_store(tmp_path).put([1], vectors_of([1]))
    with pytest.raises(
        JournalError, match=r"part-00000\.parquet: it holds embeddings of org/model"
    ):
        open_store(tmp_path, model, dim)


def test_a_row_in_two_files_is_named(tmp_path: Path) -> None:
    open_store(tmp_path / "a").put([1, 2], vectors_of([1, 2]))
    open_store(tmp_path / "b").put([2, 3], vectors_of([2, 3]))
    (tmp_path / "b" / "part-00000.parquet").rename(tmp_path / "a" / "part-00001.parquet")
    with pytest.raises(JournalError, match=r"part-00001\.parquet: row 2 is in another file"):
        open_store(tmp_path / "a")
