"""File systems that fail: in memory, under protocols of their own, at the operation that is chosen.

`faulty://` has folders: a file is written bit by bit, and moving it is another operation.
`faulty-store://` is an object store: an object is there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem


class Killed(BaseException):
    """The process is killed here."""


class Faults:
    """Which operation fails, and how.

    Attributes:
        at: Operations until the one that fails; None for none, ever.
        how: "before" doing anything, "torn" half-way, or "after" it is done, its answer lost.
        error: What it raises.
        forever: Whether all later operations fail as well.
        calls: Operations seen.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.at: int | None = None
        self.how = "before"
        self.error: BaseException = OSError("the bucket is away")
        self.forever = False
        self.calls: list[str] = []

    def plan(
        self,
        at: int,
        how: str = "before",
        error: BaseException | None = None,
        forever: bool = False,
    ) -> None:
        """Fails an operation from now on, 0 being the next, or it and all later ones."""
        self.at, self.how, self.forever = at, how, forever
        self.error = error or OSError("the bucket is away")

    @contextmanager
    def operation(self, name: str) -> Iterator[bool]:
        """Yields whether to do half of it only."""
        self.calls.append(name)
        now = self.at == 0
        if self.at is not None and not (now and self.forever):
            self.at = self.at - 1 if self.at else None
        if now and self.how == "before":
            raise self.error
        yield now and self.how == "torn"
        if now:
            raise self.error


FAULTS = Faults()


class FaultyFile(MemoryFile):
    """Half of it may reach the store."""

    def __init__(self, fs: FaultyFolders, path: str, tears: bool) -> None:
        super().__init__(fs, path)
        self._tears = tears

    def write(self, data: Any) -> int:
        return super().write(data[: len(data) // 2] if self._tears else data)


class FaultyFolders(MemoryFileSystem):
    protocol: ClassVar[Any] = ("faulty",)
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return super()._strip_protocol(str(path).removeprefix(f"{cls.protocol[0]}://"))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        with FAULTS.operation("ls"):
            return super().ls(path, detail=detail, **kwargs)

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> bytes:
        with FAULTS.operation("cat_file"):
            return super().cat_file(path, *args, **kwargs)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        with FAULTS.operation("makedirs"):
            super().makedirs(path, exist_ok=exist_ok)

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        @contextmanager
        def opened() -> Iterator[Any]:
            with FAULTS.operation("open") as tears:
                file = FaultyFile(self, self._strip_protocol(path), tears)
                file.commit()
                yield file

        return opened() if mode == "wb" else super().open(path, mode, **kwargs)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        with FAULTS.operation("pipe_file") as tears:
            if mode == "create" and self.store.get(self._strip_protocol(path)):
                raise FileExistsError(path)
            value = value[: len(value) // 2] if tears else value
            MemoryFile(self, self._strip_protocol(path), value).commit()

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        with FAULTS.operation("mv") as half:
            there, here = self._strip_protocol(path1), self._strip_protocol(path2)
            self.store[here] = self.store[there]
            if not half:
                del self.store[there]

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        with FAULTS.operation("rm"):
            super().rm(path, recursive=recursive, maxdepth=maxdepth)


class FaultyStore(FaultyFolders):
    """Called an object store as gcsfs is one: what is asked of it is asked of that."""

    protocol: ClassVar[Any] = ("faulty-store", "gs")
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        with FAULTS.operation("pipe_file") as nothing:
            if not nothing:
                MemoryFileSystem.pipe_file(self, path, value, mode)

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        return MemoryFileSystem.open(self, path, mode, **kwargs)


for kind in (FaultyFolders, FaultyStore):
    fsspec.register_implementation(kind.protocol[0], kind, clobber=True)
