"""The variants that are published beside a dataset: only what is there, with the rows it has."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError
from magpie_hub.hub.remote import read_manifest, read_remote
from magpie_hub.recipe.variants import variant_names

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def siblings(api: HfApi, repo_id: str, name: str) -> list[dict[str, Any]]:
    """Public releases of the other variants in a dataset's namespace.

    Args:
        api: The Hub's client.
        repo_id: The dataset.
        name: Its recipe's name; a recipe of one's own has no variants beside it.

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
        found = pool.map(lambda other: _look(api, f"{namespace}/magpie-{other}", other), others)
        return [one for one in found if one is not None]


def _look(api: HfApi, repo_id: str, name: str) -> dict[str, Any] | None:
    try:
        remote = read_remote(api, repo_id)
        manifest = read_manifest(api, remote) if remote and not remote.private else None
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
