"""What comes after a commit: tags that name it, and the collection it stands in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from magpie_hub.errors import UserError
from magpie_hub.hub.client import DATASET, asking
from magpie_hub.hub.remote import read_remote
from magpie_hub.hub.target import File, change

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def known_tags(api: HfApi, repo_id: str) -> set[str]:
    """Names of a repository's tags."""
    with asking(repo_id, "reading"):
        return {ref.name for ref in api.list_repo_refs(repo_id, repo_type=DATASET).tags}


def check_tag(api: HfApi, repo_id: str, tag: str, files: Mapping[str, File]) -> None:
    """Makes sure that a tag is free, or names these files already.

    Raises:
        UserError: It names another release.
    """
    if tag not in known_tags(api, repo_id):
        return
    if change(files, read_remote(api, repo_id, tag)).add:
        raise UserError(f"{repo_id}: the tag {tag} names another release; choose another one")


def tag_commit(api: HfApi, repo_id: str, commit: str, tags: Iterable[str]) -> None:
    """Tags a commit; a tag that is there stays where it is."""
    known = known_tags(api, repo_id)
    for tag in tags:
        if tag not in known:
            with asking(repo_id, "tagging"):
                api.create_tag(repo_id, tag=tag, revision=commit, repo_type=DATASET, exist_ok=True)


def collect(api: HfApi, repo_id: str, title: str) -> None:
    """Puts a dataset into its namespace's collection of that title, made if it is not there."""
    with asking(repo_id, "collecting"):
        collection = api.create_collection(title, namespace=repo_id.split("/")[0], exists_ok=True)
        api.add_collection_item(collection.slug, repo_id, item_type=DATASET, exists_ok=True)
