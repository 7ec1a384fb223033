"""A repository's files: what it holds, what it shall hold, and the change between the two.

Files are compared by the hashes that the Hub lists, so nothing is downloaded for it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError
from magpie_hub.hub.client import DATASET, Busy, ask
from magpie_hub.release.manifest import claims_ours, parse_manifest

if TYPE_CHECKING:
    from huggingface_hub import HfApi, RepoFile

CARD = "README.md"
MANIFEST = "manifest.json"

LARGEST = 64 * 1024**2
"""Bytes of the largest file that is read whole."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT = re.compile(r"[0-9a-f]{40}")

Stamp = tuple[int, int, int]
"""Bytes, nanoseconds of the last change, and inode of a file: another file has another stamp."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that a repository holds.

    Attributes:
        size: Bytes.
        sha256: Of its content, if it is stored as a large file.
        git: Git's hash of its content, if it is not.
    """

    size: int
    sha256: str | None
    git: str | None


@dataclass(frozen=True, slots=True)
class RemoteTree:
    """A repository at one commit.

    Attributes:
        repo_id: Its name.
        head: The commit.
        private: Whether only its owners see it.
        files: What it holds, by path.
        api: The Hub's client, which reads the files.
    """

    repo_id: str
    head: str
    private: bool
    files: Mapping[str, RemoteFile]
    api: HfApi

    def read(self, path: str) -> bytes | None:
        """The content of a small file; None if it is not there.

        Raises:
            UserError: It is too large to be one.
            HubError, Busy: See `ask`; or what came is not the file that is listed.
        """
        listed = self.files.get(path)
        if listed is None:
            return None
        if listed.size > LARGEST:
            raise UserError(
                f"{self.repo_id}: its {path} has {listed.size:,} bytes, which is too many"
            )
        for again in (False, True):

            def download(again: bool = again) -> bytes:
                local = self.api.hf_hub_download(
                    self.repo_id,
                    path,
                    repo_type=DATASET,
                    revision=self.head,
                    force_download=again,
                )
                return Path(local).read_bytes()

            content = ask(self.repo_id, "reading", download, size=listed.size)
            if LocalFile.of(path, content).is_at(listed):
                return content
        raise Busy(
            f"reading {self.repo_id}: what comes as {path} is not the file that the Hub lists"
        )

    def read_text(self, path: str) -> str:
        """The text of a small file; "" if it is not there.

        Raises:
            UserError, HubError, Busy: See `read`.
        """
        return (self.read(path) or b"").decode("utf-8", "replace")

    def manifest(self) -> dict[str, Any] | None:
        """The manifest of the release that is published here; None if none of ours is.

        Raises:
            UserError: It says that it is ours, and is none that we write.
            HubError, Busy: See `read`.
        """
        content = self.read(MANIFEST)
        if content is None or not claims_ours(content):
            return None
        return parse_manifest(content, f"{self.repo_id}: {MANIFEST}")


def read_tree(api: HfApi, repo_id: str, revision: str | None = None) -> RemoteTree | None:
    """Reads which files a dataset's repository holds.

    Args:
        api: The Hub's client.
        repo_id: The dataset.
        revision: Commit, branch or tag; the main branch by default.

    Returns:
        None if there is no such repository that this token may see.

    Raises:
        UserError, HubError, Busy: See `ask`.
    """
    from huggingface_hub import RepoFile
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    def read() -> RemoteTree | None:
        try:
            info = api.repo_info(repo_id, repo_type=DATASET, revision=revision)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError as error:
            if error.response.status_code == 404:
                return None
            raise
        head = str(info.sha)
        if not _GIT.fullmatch(head):
            raise ValueError(f"a commit is called {head}")
        listed = api.list_repo_tree(repo_id, recursive=True, revision=head, repo_type=DATASET)
        files = {file.path: _listed(file) for file in listed if isinstance(file, RepoFile)}
        return RemoteTree(repo_id, head, bool(info.private), files, api)

    return ask(repo_id, "reading", read)


def _listed(file: RepoFile) -> RemoteFile:
    """A line of the listing.

    Raises:
        ValueError: It is none that the Hub writes.
    """
    large = file.lfs
    sha256, git = (large.sha256, None) if large else (None, file.blob_id)
    size, held = file.size, _SHA256.fullmatch(str(sha256)) if large else _GIT.fullmatch(str(git))
    if not isinstance(file.path, str) or type(size) is not int or size < 0 or not held:
        raise ValueError(f"{file.path} is listed with size {size} and hash {sha256 or git}")
    return RemoteFile(size, sha256, git)


@dataclass(frozen=True)
class LocalFile:
    """A file that a repository shall hold.

    Attributes:
        path: Where in the repository.
        source: Its content, or the file that holds it; None for a file that only the repository
            has, such as a shard of an earlier increment.
        size: Bytes.
        sha256: Of its content.
        stamp: How the source looked before it was read.
    """

    path: str
    source: Path | bytes | None
    size: int
    sha256: str
    stamp: Stamp | None = None

    @classmethod
    def of(cls, path: str, content: bytes) -> LocalFile:
        """A file with this content."""
        return cls(path, content, len(content), hashlib.sha256(content).hexdigest())

    @classmethod
    def hashed(cls, path: str, source: Path) -> LocalFile:
        """A file of this machine, as it is now.

        Raises:
            OSError: It cannot be read.
        """
        with source.open("rb") as file:
            stamp = _stamp(os.fstat(file.fileno()))
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path, source, stamp[0], sha256, stamp)

    @property
    def has_changed(self) -> bool:
        """Whether the source was written to, replaced or removed since it was hashed."""
        if self.stamp is None or not isinstance(self.source, Path):
            return False
        try:
            return _stamp(self.source.stat()) != self.stamp
        except OSError:
            return True

    @cached_property
    def git(self) -> str:
        """Git's hash of its content; "" if there is no source."""
        digest = hashlib.sha1(b"blob %d\0" % self.size)
        if self.source is None:
            return ""
        if isinstance(self.source, bytes):
            digest.update(self.source)
        else:
            with self.source.open("rb") as file:
                while part := file.read(1 << 20):
                    digest.update(part)
        return digest.hexdigest()

    def is_at(self, listed: RemoteFile | None) -> bool:
        """Whether a repository's file is this one."""
        if listed is None or listed.size != self.size:
            return False
        if listed.sha256 is not None:
            return listed.sha256 == self.sha256
        return listed.git == self.git


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ino


@dataclass(frozen=True, slots=True)
class TreeChange:
    """What makes a repository hold what it shall hold.

    Attributes:
        add: Files to be written.
        delete: Paths to be removed.
        same: Files that are there already.
    """

    add: tuple[LocalFile, ...]
    delete: tuple[str, ...]
    same: tuple[LocalFile, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the repository holds all of it already."""
        return not self.add and not self.delete

    @property
    def bytes_new(self) -> int:
        """Bytes of the files to be written; with Xet, fewer are sent."""
        return sum(file.size for file in self.add)

    @property
    def bytes_reused(self) -> int:
        """Bytes of the files that are there already."""
        return sum(file.size for file in self.same)


def compare(
    target: Mapping[str, LocalFile], tree: RemoteTree | None, owned: Iterable[str] = ()
) -> TreeChange:
    """Compares what a repository shall hold with what it holds.

    Other people's files stay, but those in a folder of the release's data: `load_dataset` would
    read them.

    Args:
        target: Files that it shall hold, by path.
        tree: What it holds; None for nothing.
        owned: Paths that an earlier release wrote.
    """
    there = tree.files if tree is not None else {}
    add: list[LocalFile] = []
    same: list[LocalFile] = []
    for path, file in target.items():
        (same if file.is_at(there.get(path)) else add).append(file)
    folders = tuple({f"{path.rpartition('/')[0]}/" for path in target if path.startswith("data/")})
    mine = set(owned)
    delete = tuple(
        path
        for path in sorted(there)
        if path not in target and (path in mine or path.startswith(folders))
    )
    return TreeChange(tuple(add), delete, tuple(same))
