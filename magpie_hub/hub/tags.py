"""What names a published commit: its tags, and the collection that lists the dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from magpie_hub.errors import UserError
from magpie_hub.hub.client import DATASET, Busy, ask
from magpie_hub.hub.tree import LocalFile, compare, read_tree

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def known_tags(api: HfApi, repo_id: str) -> set[str]:
    """Names of a repository's tags."""
    refs = ask(repo_id, "reading", lambda: api.list_repo_refs(repo_id, repo_type=DATASET))
    return {ref.name for ref in refs.tags}


def check_tag(api: HfApi, repo_id: str, tag: str, files: Mapping[str, LocalFile]) -> None:
    """Makes sure that a tag is free, or names these files already.

    Raises:
        UserError: It names another release.
    """
    if tag not in known_tags(api, repo_id):
        return
    if compare(files, read_tree(api, repo_id, tag)).add:
        raise UserError(f"{repo_id}: the tag {tag} names another release; choose another one")


def tag_commit(api: HfApi, repo_id: str, commit: str, tags: Iterable[str]) -> None:
    """Tags a commit; a tag that exists stays where it is.

    Raises:
        UserError, HubError, Busy: See `ask`; or the Hub lists no such tag afterwards, as when a
            proxy answered in its place.
    """
    known = known_tags(api, repo_id)
    missing = [tag for tag in tags if tag not in known]
    for tag in missing:

        def create(tag: str = tag) -> None:
            api.create_tag(repo_id, tag=tag, revision=commit, repo_type=DATASET, exist_ok=True)

        ask(repo_id, "tagging", create)
    if missing and (lost := set(missing) - known_tags(api, repo_id)):
        raise Busy(f"tagging {repo_id}: the tag {min(lost)} is not there")


def collect(api: HfApi, repo_id: str, title: str) -> None:
    """Adds a dataset to its namespace's collection of that title, which is made if missing."""

    def add() -> None:
        collection = api.create_collection(title, namespace=repo_id.split("/")[0], exists_ok=True)
        api.add_collection_item(collection.slug, repo_id, item_type=DATASET, exists_ok=True)

    ask(repo_id, "collecting", add)
