"""The layouts of the Xet protocol: xorbs hold packed chunks, shards say what files are made of.

After the specification, https://huggingface.co/docs/xet.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass

import lz4.frame

_ROW = 48  # every entry of a shard has this many bytes
_END = b"\xff" * 32
_FOOTER = 200
_VERIFIED, _EXTENDED = 1 << 31, 1 << 30


@dataclass(frozen=True, slots=True)
class Term:
    """A run of chunks of one xorb; `size` is the bytes they unpack to."""

    xorb: str
    size: int
    begin: int
    end: int


@dataclass(slots=True)
class Shard:
    """What a shard says: name, terms and sha256 of files, and the rows that describe each xorb."""

    head: bytes
    files: list[tuple[str, list[Term], str | None]]
    xorbs: list[bytes]

    @classmethod
    def read(cls, data: bytes) -> Shard:
        shard, at = cls(data[:40], [], []), _ROW
        while data[at : at + 32] != _END:
            name, flags, count = _hash(data, at), *struct.unpack_from("<2I", data, at + 32)
            rows = range(at + _ROW, at + (count + 1) * _ROW, _ROW)
            terms = [
                Term(_hash(data, row), *struct.unpack_from("<3I", data, row + 36)) for row in rows
            ]
            at += _ROW * (1 + count * (2 if flags & _VERIFIED else 1))
            sha256 = _hash(data, at) if flags & _EXTENDED else None
            at += _ROW if flags & _EXTENDED else 0
            shard.files.append((name, terms, sha256))
        at += _ROW
        while data[at : at + 32] != _END:
            begin, count = at, struct.unpack_from("<I", data, at + 36)[0]
            at += _ROW * (1 + count)
            shard.xorbs.append(data[begin:at])
        return shard

    def chunks(self) -> dict[str, bytes]:
        """The names of all chunks, each with a shard that describes its xorb alone."""
        return {
            _hash(rows, row): shard
            for rows in self.xorbs
            for shard in [_shard_of(self.head, rows)]
            for row in range(_ROW, len(rows), _ROW)
        }


def _hash(shard: bytes, at: int) -> str:
    return "".join(f"{word:016x}" for word in struct.unpack_from("<4Q", shard, at))


def _shard_of(head: bytes, rows: bytes) -> bytes:
    """A shard that describes one xorb, from a shard's tag and version and the xorb's rows."""
    end = _END.ljust(_ROW, b"\0")
    footer = _ROW + len(end) + len(rows) + len(end)
    # Where files and xorbs begin, three empty lookup tables, no key, no expiry, where this begins.
    foot = struct.pack("<9Q", 1, _ROW, _ROW + len(end), *[footer, 0] * 3)
    foot += struct.pack("<32x2Q", int(time.time()), 2**63)
    foot = foot.ljust(_FOOTER - 8, b"\0") + struct.pack("<Q", footer)
    return head + struct.pack("<Q", _FOOTER) + end + rows + end + foot


def chunks(xorb: bytes) -> list[tuple[int, int]]:
    """Where each chunk of a xorb begins and ends; none if it is no xorb. A footer may follow."""
    spans, at = [], 0
    while at < len(xorb) and xorb[at] == 0:
        end = at + 8 + int.from_bytes(xorb[at + 1 : at + 4], "little")
        spans.append((at, end))
        at = end
    return spans if at <= len(xorb) else []


def unpack(xorb: bytes, span: tuple[int, int]) -> bytes:
    """The bytes of one chunk, whose header says whether they are packed and grouped."""
    begin, end = span
    packing, data = xorb[begin + 4], xorb[begin + 8 : end]
    data = lz4.frame.decompress(data) if packing else data
    return _ungroup(data) if packing == 2 else data


def _ungroup(chunk: bytes) -> bytes:
    """Undoes the grouping of every fourth byte."""
    data, at = bytearray(len(chunk)), 0
    for i in range(4):
        count = len(range(i, len(chunk), 4))
        data[i::4] = chunk[at : at + count]
        at += count
    return bytes(data)
