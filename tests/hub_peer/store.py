"""What a peer holds, in memory and without git: a repository is commits, a commit a snapshot."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from typing import Any

LARGE = 10 * 1024 * 1024
_LFS_ENDINGS = """
7z arrow bin bz2 ckpt ftz gz h5 joblib lz4 mds mlmodel model msgpack npy npz onnx ot parquet pb
pickle pkl pt pth rar safetensors tar tflite tgz wasm xz zip zst pcm sam raw aac flac mp3 ogg wav
bmp gif png tiff jpg jpeg webp mp4 webm
""".split()
ATTRIBUTES = "".join(f"*.{e} filter=lfs diff=lfs merge=lfs -text\n" for e in _LFS_ENDINGS).encode()


def now() -> str:
    """The time as the Hub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def goes_to_lfs(path: str, size: int, sample: bytes, attributes: bytes) -> bool:
    """Whether a file is kept outside git: by .gitattributes, by its size, or for not being text."""
    patterns = [line.split() for line in attributes.decode(errors="replace").splitlines()]
    matched = any(
        fnmatch(path, words[0]) or fnmatch(path.rsplit("/", 1)[-1], words[0])
        for words in patterns
        if "filter=lfs" in words
    )
    return size > 0 and (matched or size > LARGE or b"\0" in sample[:512])


@dataclass(frozen=True, slots=True)
class File:
    """One version of one file: its bytes, its git oid (an LFS file's is its pointer's)."""

    data: bytes
    oid: str
    sha256: str | None = None
    pointer_size: int = 0

    @classmethod
    def regular(cls, data: bytes) -> File:
        return cls(data, _git_oid(data))

    @classmethod
    def large(cls, data: bytes) -> File:
        sha256 = hashlib.sha256(data).hexdigest()
        pointer = "version https://git-lfs.github.com/spec/v1\n"
        pointer += f"oid sha256:{sha256}\nsize {len(data)}\n"
        return cls(data, _git_oid(pointer.encode()), sha256, len(pointer))


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass(frozen=True, slots=True)
class Commit:
    """A snapshot; `title` and `message` are what a client calls summary and description."""

    oid: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    entries: Mapping[str, File]

    @property
    def files(self) -> dict[str, bytes]:
        """Every file at this commit, path to content."""
        return {path: file.data for path, file in self.entries.items()}


@dataclass(slots=True)
class Discussion:
    """A discussion, or a pull request if `base` says which commit it was begun from."""

    num: int
    title: str
    author: str
    status: str = "open"
    base: str | None = None
    date: str = field(default_factory=now)

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.num}"


@dataclass(slots=True)
class Repo:
    """A repository; branches (`main`, `refs/pr/1`) and tags are names for commits.

    `objects` are the large files of its peer, by sha256.
    """

    id: str
    kind: str
    objects: dict[str, bytes]
    private: bool = False
    gated: str | bool = False
    created: str = field(default_factory=now)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)
    by_oid: dict[str, Commit] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    @property
    def web(self) -> str:
        """Where its pages and files are, below the endpoint."""
        return self.id if self.kind == "model" else f"{self.kind}s/{self.id}"

    @property
    def head(self) -> str:
        """The commit that main is at."""
        return self.branches["main"]

    @property
    def commits(self) -> list[Commit]:
        """The commits of main, oldest first."""
        return self.history("main")[::-1]

    @property
    def prs(self) -> list[Discussion]:
        return [each for each in self.discussions if each.base]

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Every file at a revision, path to content."""
        commit = self.find(revision)
        assert commit is not None, f"{self.id} has no revision {revision}"
        return commit.files

    def find(self, revision: str) -> Commit | None:
        """The commit that a branch, a tag, a PR ref or an id (or seven digits of one) means."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        oid = self.branches.get(name) or self.tags.get(name) or name
        if oid not in self.by_oid and len(oid) >= 7:
            oid = next((known for known in self.by_oid if known.startswith(oid)), oid)
        return self.by_oid.get(oid)

    def history(self, revision: str) -> list[Commit]:
        """The commits of a revision, newest first."""
        commits, commit = [], self.find(revision)
        while commit:
            commits.append(commit)
            commit = self.by_oid.get(commit.parent or "")
        return commits

    def write(
        self,
        branch: str,
        entries: Mapping[str, File],
        title: str,
        message: str = "",
        author: str = "somebody",
        parent: str | None = None,
    ) -> Commit:
        """Puts a commit with these entries on a branch, which is made if it is new."""
        parent = parent or self.branches.get(branch)
        commit = Commit(secrets.token_hex(20), parent, title, message, author, now(), dict(entries))
        self.by_oid[commit.oid] = commit
        self.branches[branch] = commit.oid
        return commit

    def commit(
        self, changes: Mapping[str, bytes | None], title: str = "A change", branch: str = "main"
    ) -> str:
        """Commits as another user would, without a request; None deletes a file."""
        head = self.find(branch)
        entries = dict(head.entries) if head else {}
        for path, data in changes.items():
            if data is None:
                entries.pop(path)
                continue
            attributes = entries[".gitattributes"].data if ".gitattributes" in entries else b""
            large = goes_to_lfs(path, len(data), data, attributes)
            file = entries[path] = File.large(data) if large else File.regular(data)
            if file.sha256:
                self.objects[file.sha256] = data
        return self.write(branch, entries, title).oid

    def open(self, title: str, author: str, base: str | None = None) -> Discussion:
        """Opens a discussion, or a pull request whose branch begins at `base`."""
        discussion = Discussion(len(self.discussions) + 1, title, author, base=base)
        self.discussions.append(discussion)
        if base:
            self.branches[discussion.ref] = base
        return discussion


@dataclass(slots=True)
class Store:
    """Everything that one peer holds.

    `objects` are large files by sha256, `xet_hashes` their Xet names if they came that way, `parts`
    are of uploads that are not complete. `xorbs`, `xet_files` (the terms of each file) and
    `known_chunks` (a shard for each chunk) are the Xet store's.
    """

    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    collections: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    xorbs: dict[str, bytes] = field(default_factory=dict)
    xet_files: dict[str, list[Any]] = field(default_factory=dict)
    xet_hashes: dict[str, str] = field(default_factory=dict)
    known_chunks: dict[str, bytes] = field(default_factory=dict)

    def create(
        self, name: str, kind: str, private: bool, files: Mapping[str, bytes] | None = None
    ) -> Repo:
        """A new repository, with the initial commit that the Hub makes."""
        repo = self.repos[kind, name] = Repo(name, kind, self.objects, private)
        repo.commit({".gitattributes": ATTRIBUTES}, "initial commit")
        if files:
            repo.commit(files, "Seed")
        return repo
