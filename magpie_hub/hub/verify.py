"""Verifying: does a repository hold the release that its manifest says it holds?

Hashes and sizes come from the Hub's listing and rows from the Parquet footers, so little is read.
The first row of every config is loaded, to see that `load_dataset` takes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import HubError, UserError
from magpie_hub.hub.client import Busy, ask, clean, hub_api
from magpie_hub.hub.preflight import counted_rows
from magpie_hub.hub.tree import CARD, MANIFEST, RemoteTree, read_tree
from magpie_hub.release.manifest import config_of
from magpie_hub.release.shards import count_rows

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found in a repository.

    Attributes:
        repo_id: Its name.
        commit: The commit that was looked at.
        name: The recipe that the release was made by.
        rows: Rows of the dataset.
        files: Files that the manifest names.
        problems: What is not as the manifest says, a line each; none if all is well.
    """

    repo_id: str
    commit: str
    name: str
    rows: int
    files: int
    problems: tuple[str, ...]


def verify(
    repo_id: str, revision: str | None = None, *, api: HfApi | None = None, load: bool = True
) -> Verified:
    """Checks a published release.

    Args:
        repo_id: The dataset's name.
        revision: Commit, branch or tag; the main branch by default.
        api: The Hub's client; the environment's by default.
        load: Whether to load rows as well, by `datasets`, which knows the environment's Hub alone.

    Raises:
        UserError: There is no such repository, revision, or release of ours in it.
        HubError: The Hub failed.
    """
    try:
        tree = read_tree(api or hub_api(), repo_id, revision)
        if tree is None:
            raise UserError(f"{repo_id}: there is no such dataset, or this token may not see it")
        manifest = tree.manifest()
        if manifest is None:
            raise UserError(f"{repo_id}: it holds no release of magpie-hub ({MANIFEST} is missing)")
        problems = [*differences(tree, manifest), *_foreign(tree, manifest), *_card(tree, manifest)]
        problems = problems or _footers(tree, manifest)
        if not problems and load:
            problems = _loads(tree, manifest)
    except Busy as busy:
        raise HubError(f"{busy}; run again") from None
    named = manifest["files"]
    return Verified(
        repo_id, tree.head, manifest["name"], manifest["rows"], len(named), tuple(problems)
    )


def differences(tree: RemoteTree, manifest: Mapping[str, Any]) -> list[str]:
    """Files that are missing, or that the Hub lists otherwise than the manifest does.

    The card may hold other people's words. Of a small file the Hub lists no SHA-256; of a shard it
    has to.
    """
    problems = []
    for path, named in manifest["files"].items():
        listed = tree.files.get(path)
        if listed is None:
            problems.append(f"{path} is missing")
        elif path != CARD:
            small = listed.sha256 is None and config_of(path) is None
            if listed.size != named["bytes"] or not (small or listed.sha256 == named["sha256"]):
                problems.append(f"{path} is not the file that the manifest names")
    return problems


def _foreign(tree: RemoteTree, manifest: dict[str, Any]) -> list[str]:
    """Data that the manifest does not name."""
    named = manifest["files"]
    return [
        f"{path} is not part of the release"
        for path in tree.files
        if path.startswith("data/") and path not in named
    ]


def _card(tree: RemoteTree, manifest: dict[str, Any]) -> list[str]:
    """What the card counts otherwise than the manifest."""
    rows = _rows(manifest)
    try:
        counted = counted_rows(tree.read_text(CARD), rows)
    except UserError as error:
        return [str(error)]
    return [] if counted == rows else [f"the card counts {counted} rows, the manifest {rows}"]


def _rows(manifest: dict[str, Any]) -> dict[str, int]:
    """Rows by config, as the manifest counts them."""
    rows: dict[str, int] = {}
    for path, named in manifest["files"].items():
        if config := config_of(path):
            rows[config] = rows.get(config, 0) + named["rows"]
    return rows


def _footers(tree: RemoteTree, manifest: dict[str, Any]) -> list[str]:
    """Parquet footers that count otherwise than the manifest."""
    problems = []
    for path, named in manifest["files"].items():
        if not config_of(path):
            continue
        try:
            found = ask(tree.repo_id, "reading", lambda: _count(tree, path))  # noqa: B023
        except UserError as error:
            problems.append(str(error))
            continue
        if found != named["rows"]:
            problems.append(f"{path} has {found} rows, not {named['rows']}")
    return problems


def _count(tree: RemoteTree, path: str) -> int:
    from huggingface_hub import HfFileSystem

    files = HfFileSystem(endpoint=tree.api.endpoint, token=tree.api.token)
    with files.open(f"datasets/{tree.repo_id}@{tree.head}/{path}") as file:
        return count_rows(file, shown=path, remote=True)


def _loads(tree: RemoteTree, manifest: dict[str, Any]) -> list[str]:
    """Configs whose first row `load_dataset` does not give."""
    import datasets

    problems = []
    for config in _rows(manifest):
        try:
            rows = datasets.load_dataset(
                tree.repo_id,
                config,
                split="train",
                revision=tree.head,
                streaming=True,
                token=tree.api.token,
            )
            next(iter(rows), None)
        except Exception as error:  # noqa: BLE001 - whatever its readers make of a card's YAML
            found = clean(error) or type(error).__name__
            problems.append(f"load_dataset does not take the config {config}: {found}")
    return problems
