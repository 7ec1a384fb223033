"""What a repository holds at one revision: paths, sizes and hashes, without reading any file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_hub.hub.client import DATASET, asking

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CARD = "README.md"
MANIFEST = "manifest.json"


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


@dataclass(frozen=True, slots=True)
class Remote:
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


def read_remote(api: HfApi, repo_id: str, revision: str | None = None) -> Remote | None:
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
        assert info.sha is not None
        files = {
            entry.path: Entry(
                entry.size,
                entry.lfs.sha256 if entry.lfs else None,
                None if entry.lfs else entry.blob_id,
            )
            for entry in api.list_repo_tree(
                repo_id, recursive=True, revision=info.sha, repo_type=DATASET
            )
            if isinstance(entry, RepoFile)
        }
    return Remote(repo_id, info.sha, bool(info.private), files)


def read_text(api: HfApi, remote: Remote, path: str) -> str | None:
    """A small file's text; None if it is not there."""
    if path not in remote.files:
        return None
    with asking(remote.repo_id, "reading"):
        local = api.hf_hub_download(remote.repo_id, path, repo_type=DATASET, revision=remote.head)
    return Path(local).read_text(encoding="utf-8", errors="replace")


def read_manifest(api: HfApi, remote: Remote) -> dict[str, Any] | None:
    """The manifest of the release that stands there; None if none of ours does."""
    text = read_text(api, remote, MANIFEST)
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("made_by") != "magpie_hub":
        return None
    return found
