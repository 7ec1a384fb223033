"""A weight file is told by every byte of it, and a large one is read once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from magpie_hub.errors import ModelError
from magpie_hub.models import weights
from magpie_hub.models.source import pin
from magpie_hub.models.weights import hash_file

SIZE = 3 << 20
LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "REMEMBERED", 1 << 20)
    monkeypatch.setattr(weights, "SETTLED", -1.0)
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(SIZE))
    return path


def change(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\1")


@pytest.mark.parametrize("at", [0, (1 << 20) + 7, SIZE // 2, SIZE - 1])
def test_a_byte_anywhere_tells_a_file(file: Path, at: int) -> None:
    before = hash_file(file)
    assert hash_file(file) == before
    change(file, at)
    assert hash_file(file) != before


def test_times_that_were_set_back_hide_nothing(file: Path) -> None:
    os.utime(file, (LONG_AGO, LONG_AGO))
    before = hash_file(file)
    change(file, SIZE // 2)
    os.utime(file, (LONG_AGO, LONG_AGO))
    assert hash_file(file) != before


def test_a_large_file_is_read_once_and_a_fresh_one_not_trusted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hash_file(file)
    read: list[object] = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *how: (read.append(how), digest(*how))[1])
    assert hash_file(file) == before
    assert read == []
    monkeypatch.setattr(weights, "SETTLED", 60.0)
    assert hash_file(file) == before
    assert len(read) == 1


@pytest.mark.parametrize("spoilt", [b"", b"[]", b'{"stamp": [1], "xxh3": 3}', b"\xff"])
def test_a_spoilt_memory_is_read_over(file: Path, cache: Path, spoilt: bytes) -> None:
    before = hash_file(file)
    (kept,) = (cache / "magpie-hub" / "weights").glob("*.json")
    kept.write_bytes(spoilt)
    assert hash_file(file) == before


def test_a_memory_that_cannot_be_written_is_done_without(file: Path, cache: Path) -> None:
    cache.write_text("no folder")
    assert hash_file(file) == hash_file(file)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        hash_file(tmp_path / "nothing")


def test_a_byte_in_the_middle_of_the_weights_is_another_revision(folder: Path) -> None:
    before = pin(str(folder)).revision
    file = folder / "model.safetensors"
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size // 2)
        byte = opened.read(1)
        opened.seek(size // 2)
        opened.write(bytes([byte[0] ^ 1]))
    assert pin(str(folder)).revision != before
