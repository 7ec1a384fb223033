"""The dataset card as it is published: with the variants that stand beside the dataset."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError
from magpie_hub.hub.preflight import LocalRelease
from magpie_hub.hub.tree import CARD, read_tree
from magpie_hub.recipe.variants import variant_names
from magpie_hub.release.card.data import card_data
from magpie_hub.release.card.render import render_card

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def published_card(api: HfApi, local: LocalRelease, repo_id: str) -> str:
    """The card of a release for a repository; as it was built where nothing is to be changed.

    Raises:
        HubError, Busy: The Hub failed.
    """
    others = siblings(api, repo_id, local.manifest["name"])
    if local.recipe.hub.repo_id == repo_id and not others:
        return (local.folder / CARD).read_text(encoding="utf-8")
    return render_card(card_data(local.folder, repo_id=repo_id, siblings=others))


def siblings(api: HfApi, repo_id: str, name: str) -> list[dict[str, Any]]:
    """Public releases of the other variants in a dataset's namespace.

    Args:
        api: The Hub's client.
        repo_id: The dataset.
        name: Its recipe's name; a recipe of the user's own has no variants beside it.

    Returns:
        `name`, `repo_id`, `turns`, `generator` and `rows` of each, as their manifests say.

    Raises:
        HubError, Busy: The Hub failed.
    """
    names = variant_names()
    if name not in names:
        return []
    namespace = repo_id.split("/")[0]
    others = [other for other in names if other != name]
    with ThreadPoolExecutor(len(others)) as pool:
        found = pool.map(lambda other: _sibling(api, f"{namespace}/magpie-{other}", other), others)
        return [one for one in found if one is not None]


def _sibling(api: HfApi, repo_id: str, name: str) -> dict[str, Any] | None:
    try:
        tree = read_tree(api, repo_id)
        manifest = tree.manifest() if tree and not tree.private else None
    except UserError:
        return None
    if manifest is None or manifest["name"] != name:
        return None
    turns = sum(bool(re.fullmatch(r"response(_\d+)?", column)) for column in manifest["columns"])
    return {
        "name": name,
        "repo_id": repo_id,
        "turns": turns,
        "generator": manifest["model"]["name"],
        "rows": manifest["rows"],
    }
