"""Conflicts: what a release may not take the place of in a repository.

Files of other people, releases of other recipes, releases that were published in between, and
larger releases stay, unless the user says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from magpie_hub.errors import StaleReleaseError, UserError
from magpie_hub.hub.client import Say
from magpie_hub.hub.preflight import LocalRelease
from magpie_hub.hub.tree import CARD, MANIFEST, LocalFile, RemoteTree, TreeChange, compare
from magpie_hub.release.card.merge import keep_edits


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """What a repository shall hold.

    Attributes:
        target: The files, by path.
        change: What makes it hold them.
        old_card: The card that is there now; "" if there is none.
        new_card: The card that shall be there.
    """

    target: Mapping[str, LocalFile]
    change: TreeChange
    old_card: str
    new_card: str


def plan_change(
    local: LocalRelease,
    card: str,
    repo_id: str,
    tree: RemoteTree | None,
    *,
    replace: bool = False,
    say: Say,
) -> PublishPlan:
    """Plans the change that publishes a release on top of what a repository holds.

    Args:
        local: The release.
        card: Its card for this repository; what people wrote into the one there is kept.
        repo_id: The repository.
        tree: What it holds; None if it is not there.
        replace: Whether a larger release, or one whose manifest was spoilt, may be replaced.
        say: Told what is replaced, a line each.

    Raises:
        UserError: Something there must stay.
        StaleReleaseError: The release adds to one that is not the published one any more.
        HubError, Busy: The Hub failed.
    """
    if tree is None:
        target = {**local.files, CARD: LocalFile.of(CARD, card.encode())}
        return _checked(repo_id, PublishPlan(target, compare(target, None), "", card))
    manifest, spoilt = _manifest(tree, replace, say)
    if not spoilt:
        _refuse_foreign_data(repo_id, local, tree, manifest)
    _refuse_stale(repo_id, local.manifest, manifest)
    _refuse_fewer(repo_id, local.manifest, manifest or {}, replace, say)
    owned = tuple((manifest or {}).get("files", ()))
    old_card = tree.read_text(CARD)
    new_card = keep_edits(card, old_card) if old_card else card
    target = {**local.files, CARD: LocalFile.of(CARD, new_card.encode())}
    change = compare(target, tree, owned)
    if not spoilt:
        ours = {CARD, *((MANIFEST, *owned) if owned else ())}
        _refuse_files_of_others(repo_id, change, tree.files.keys() - ours)
    return _checked(repo_id, PublishPlan(target, change, old_card, new_card))


def _manifest(tree: RemoteTree, replace: bool, say: Say) -> tuple[dict[str, Any] | None, bool]:
    """The published manifest, and whether it is one of ours that was spoilt."""
    try:
        return tree.manifest(), False
    except UserError as error:
        if not replace:
            raise UserError(
                f"{error}; look at the repository, and replace its content with --replace"
            ) from None
        say(f"{error}; it gives way")
        return None, True


def _refuse_foreign_data(
    repo_id: str, local: LocalRelease, tree: RemoteTree, manifest: dict[str, Any] | None
) -> None:
    name = local.manifest["name"]
    if manifest is not None and manifest.get("name") != name:
        raise UserError(
            f"{repo_id}: it holds the release of {manifest.get('name')}, not of {name}; "
            "name another repository (--repo-id)"
        )
    if manifest is None and any(path.startswith("data/") for path in tree.files):
        raise UserError(
            f"{repo_id}: it holds data that magpie-hub did not put there; name another "
            "repository (--repo-id), or empty its data folder first"
        )


def _refuse_stale(
    repo_id: str, ours: Mapping[str, Any], published: Mapping[str, Any] | None
) -> None:
    """A release that adds to another is published on top of that one only."""
    history = ours["changelog"][1:]
    if not history or ours == published:
        return
    if published is None or published["changelog"] != history:
        raise StaleReleaseError(
            f"{repo_id}: another release has been published since this one was made for "
            "it; run magpie-hub regenerate again, which continues the published one"
        )


def _refuse_fewer(
    repo_id: str, ours: Mapping[str, Any], published: Mapping[str, Any], replace: bool, say: Say
) -> None:
    """A user of the dataset finds no fewer rows than before, unless that is asked for."""
    here, there = ours["rows"], published.get("rows")
    if not isinstance(there, int) or there <= here:
        return
    if not replace:
        raise UserError(
            f"{repo_id}: it holds {there:,} rows, and this release has {here:,}; build "
            f"that many (--rows {there}), or publish the smaller one with --replace"
        )
    say(f"the {there:,} published rows are replaced by {here:,}")


def _refuse_files_of_others(repo_id: str, change: TreeChange, others: set[str]) -> None:
    if theirs := [file.path for file in change.add if file.path in others]:
        raise UserError(
            f"{repo_id}: its {theirs[0]} is not of a release of magpie-hub, and this one "
            "has a file of that name; move it there, or name another repository (--repo-id)"
        )


def _checked(repo_id: str, found: PublishPlan) -> PublishPlan:
    """Makes sure that shards which are only in the repository are there."""
    if lost := [file.path for file in found.change.add if file.source is None]:
        raise UserError(
            f"{repo_id}: it does not hold {lost[0]}, which this release adds to; publish "
            "it to the repository that it continues, or build a complete release"
        )
    return found
