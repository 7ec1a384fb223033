"""What a repository holds at one revision: paths, sizes and hashes, without reading any file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError
from magpie_hub.hub.client import DATASET, Busy, asking
from magpie_hub.release.documents import claims_ours, parse_manifest

if TYPE_CHECKING:
    from huggingface_hub import HfApi, RepoFile

CARD = "README.md"
MANIFEST = "manifest.json"

LARGEST = 64 * 1024**2
"""Bytes of the largest file that is read whole."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a repository.

    Attributes:
        size: Bytes.
        sha256: Of its content, if it is stored as a large file.
        git: Git's hash of its content, if it is not.
    """

    size: int
    sha256: str | None
    git: str | None

    def is_of(self, content: bytes) -> bool:
        """Whether it is the entry of a file with this content."""
        if self.sha256 is not None:
            return hashlib.sha256(content).hexdigest() == self.sha256
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == self.git


@dataclass(frozen=True, slots=True)
class RemoteTree:
    """A repository at one commit.

    Attributes:
        repo_id: Its name.
        head: The commit.
        private: Whether only its owners see it.
        files: What it holds.
    """

    repo_id: str
    head: str
    private: bool
    files: Mapping[str, Entry]


def read_remote(api: HfApi, repo_id: str, revision: str | None = None) -> RemoteTree | None:
    """Reads what a dataset's repository holds.

    Returns:
        None if there is no such repository that this token may see.

    Raises:
        UserError, HubError, Busy: See `asking`.
    """
    from huggingface_hub import RepoFile
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    with asking(repo_id, "reading"):
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
        files = {
            entry.path: _entry(entry)
            for entry in api.list_repo_tree(
                repo_id, recursive=True, revision=head, repo_type=DATASET
            )
            if isinstance(entry, RepoFile)
        }
    return RemoteTree(repo_id, head, bool(info.private), files)


def _entry(file: RepoFile) -> Entry:
    """A line of the listing.

    Raises:
        ValueError: It is none that the Hub writes.
    """
    large = file.lfs
    sha256, git = (large.sha256, None) if large else (None, file.blob_id)
    size, held = file.size, _SHA256.fullmatch(str(sha256)) if large else _GIT.fullmatch(str(git))
    if not isinstance(file.path, str) or type(size) is not int or size < 0 or not held:
        raise ValueError(f"{file.path} is listed with size {size} and hash {sha256 or git}")
    return Entry(size, sha256, git)


def read_bytes(api: HfApi, remote: RemoteTree, path: str) -> bytes | None:
    """A small file, which is the one that the Hub lists; None if it is not there.

    Raises:
        UserError: It is too large to be one.
        HubError, Busy: See `asking`; what came is another file than the one that is listed.
    """
    entry = remote.files.get(path)
    if entry is None:
        return None
    if entry.size > LARGEST:
        raise UserError(f"{remote.repo_id}: its {path} has {entry.size:,} bytes, which is too many")
    for again in (False, True):
        with asking(remote.repo_id, "reading"):
            local = api.hf_hub_download(
                remote.repo_id,
                path,
                repo_type=DATASET,
                revision=remote.head,
                force_download=again,
            )
        content = Path(local).read_bytes()
        if entry.is_of(content):
            return content
    raise Busy(f"reading {remote.repo_id}: what comes as {path} is not the file that the Hub lists")


def read_text(api: HfApi, remote: RemoteTree, path: str) -> str | None:
    """A small file's text; None if it is not there."""
    content = read_bytes(api, remote, path)
    return None if content is None else content.decode("utf-8", "replace")


def read_manifest(api: HfApi, remote: RemoteTree) -> dict[str, Any] | None:
    """The manifest of the release that stands there; None if none of ours does.

    Raises:
        UserError: It says that it is ours, and is none that we write.
    """
    content = read_bytes(api, remote, MANIFEST)
    if content is None or not claims_ours(content):
        return None
    return parse_manifest(content, f"{remote.repo_id}: {MANIFEST}")
