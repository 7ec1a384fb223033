"""What is asked of a push, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["published", "unchanged", "proposed", "planned"]


@dataclass(frozen=True, slots=True)
class Push:
    """What is pushed, and how.

    Attributes:
        folder: The release.
        name: Name of the recipe that it should be of.
        repo_id: NAMESPACE/NAME; None for the recipe's, or magpie-NAME of whoever pushes.
        private: Make the repository private if it is not there yet.
        pull_request: Propose the release as a pull request.
        dry_run: Say what would be done, and do nothing.
        tag: A tag of one's own, beside the one that names the data.
        reviewed: Findings of the scan that a person has let pass.
        replace: Publish it even where a release of more rows stands.
    """

    folder: Path
    name: str
    repo_id: str | None = None
    private: bool = False
    pull_request: bool = False
    dry_run: bool = False
    tag: str | None = None
    reviewed: tuple[str, ...] = ()
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """What a push came to.

    Attributes:
        state: "published", "unchanged", "proposed" (as a pull request) or "planned" (a dry run).
        repo_id: The repository.
        url: Its page, or the pull request's.
        commit: The commit that holds the release; None in a dry run.
        tags: Tags by which it is found.
        added: Paths written, or that would be.
        deleted: Paths removed, or that would be.
        bytes_new: Bytes of the files written; what is sent may be less.
        bytes_reused: Bytes of the files that were there already.
        card_diff: What changes in the card, as a unified diff; for a dry run.
    """

    state: State
    repo_id: str
    url: str
    commit: str | None
    tags: tuple[str, ...]
    added: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    bytes_new: int = 0
    bytes_reused: int = 0
    card_diff: str = ""
