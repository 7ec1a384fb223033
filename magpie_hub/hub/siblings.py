"""The variants that are published beside a dataset: only what is there, with the rows it has."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import UserError
from magpie_hub.hub.client import DATASET, asking
from magpie_hub.hub.remote import Entry, Remote, read_manifest
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
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        with asking(repo_id, "reading"):
            info = api.repo_info(repo_id, repo_type=DATASET)
        if info.private or info.sha is None:
            return None
        held = {one.rfilename: Entry(0, None, None) for one in info.siblings or ()}
        manifest = read_manifest(api, Remote(repo_id, info.sha, False, held))
    except (RepositoryNotFoundError, UserError):
        return None
    if manifest is None or manifest.get("name") != name:
        return None
    model, columns, rows = (manifest.get(key) for key in ("model", "columns", "rows"))
    generator = model.get("name") if isinstance(model, dict) else None
    if not (isinstance(generator, str) and isinstance(columns, list) and isinstance(rows, int)):
        return None
    turns = sum(bool(re.fullmatch(r"response(_\d+)?", str(column))) for column in columns)
    return {"name": name, "repo_id": repo_id, "turns": turns, "generator": generator, "rows": rows}
