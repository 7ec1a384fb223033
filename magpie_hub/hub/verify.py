"""Verifying: does a repository hold the release that its manifest says it holds?

Hashes and sizes come from the Hub's listing and rows from the Parquet footers, so little is read;
that `load_dataset` takes it is seen by loading the first row of every config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import HubError, UserError
from magpie_hub.hub.client import Busy, asking, clean, connect
from magpie_hub.hub.preflight import counted_rows
from magpie_hub.hub.remote import CARD, MANIFEST, RemoteTree, read_manifest, read_remote, read_text
from magpie_hub.release.documents import config_of
from magpie_hub.release.shards import count_rows

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at a repository found.

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
    """Looks at a published release.

    Args:
        repo_id: The dataset's name.
        revision: Commit, branch or tag; the main branch by default.
        api: The Hub's client; the environment's by default.
        load: Whether to load rows as well, by `datasets`, which knows the environment's Hub alone.

    Raises:
        UserError: There is no such repository, revision, or release of ours in it.
        HubError: The Hub failed.
    """
    api = api or connect()
    try:
        remote = read_remote(api, repo_id, revision)
        if remote is None:
            raise UserError(f"{repo_id}: there is no such dataset, or this token may not see it")
        manifest = read_manifest(api, remote)
        if manifest is None:
            raise UserError(f"{repo_id}: it holds no release of magpie-hub ({MANIFEST} is missing)")
        problems = [*_compare(remote, manifest), *_card(api, remote, manifest)]
        if not problems:
            problems = _rows(api, remote, manifest)
        if not problems and load:
            problems = _loads(api, remote, manifest)
    except Busy as busy:
        raise HubError(f"{busy}; run again") from None
    return Verified(
        repo_id,
        remote.head,
        manifest["name"],
        manifest["rows"],
        len(manifest["files"]),
        tuple(problems),
    )


def differences(remote: RemoteTree, manifest: Mapping[str, Any]) -> list[str]:
    """Files that are missing there, or that the Hub lists otherwise than the manifest does.

    The card is a person's too. Of a small file the Hub lists no SHA-256; of a shard it has to, for
    by that it is known.
    """
    problems = []
    for path, said in manifest["files"].items():
        entry = remote.files.get(path)
        if entry is None:
            problems.append(f"{path} is missing")
        elif path != CARD:
            small = entry.sha256 is None and config_of(path) is None
            if entry.size != said["bytes"] or not (small or entry.sha256 == said["sha256"]):
                problems.append(f"{path} is not the file that the manifest names")
    return problems


def _compare(remote: RemoteTree, manifest: dict[str, Any]) -> list[str]:
    """`differences`, and data that the manifest does not name."""
    problems = differences(remote, manifest)
    problems += [
        f"{path} is not part of the release"
        for path in remote.files
        if path.startswith("data/") and path not in manifest["files"]
    ]
    return problems


def _card(api: HfApi, remote: RemoteTree, manifest: dict[str, Any]) -> list[str]:
    """What the card counts otherwise than the manifest."""
    said = _said(manifest)
    try:
        counted = counted_rows(read_text(api, remote, CARD) or "", said)
    except UserError as error:
        return [str(error)]
    if counted != said:
        return [f"the card counts {counted} rows, the manifest {said}"]
    return []


def _said(manifest: dict[str, Any]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for path, said in manifest["files"].items():
        if config := config_of(path):
            rows[config] = rows.get(config, 0) + said["rows"]
    return rows


def _rows(api: HfApi, remote: RemoteTree, manifest: dict[str, Any]) -> list[str]:
    """Parquet footers that count otherwise than the manifest."""
    from huggingface_hub import HfFileSystem

    problems = []
    files = HfFileSystem(endpoint=api.endpoint, token=api.token)
    for path, said in manifest["files"].items():
        if config_of(path):
            try:
                with (
                    asking(remote.repo_id, "reading"),
                    files.open(f"datasets/{remote.repo_id}@{remote.head}/{path}") as file,
                ):
                    found = count_rows(file, shown=path, remote=True)
            except UserError as error:
                problems.append(str(error))
                continue
            if found != said["rows"]:
                problems.append(f"{path} has {found} rows, not {said['rows']}")
    return problems


def _loads(api: HfApi, remote: RemoteTree, manifest: dict[str, Any]) -> list[str]:
    """Configs whose first row `load_dataset` does not give."""
    import datasets

    problems = []
    for config in _said(manifest):
        try:
            rows = datasets.load_dataset(
                remote.repo_id,
                config,
                split="train",
                revision=remote.head,
                streaming=True,
                token=api.token,
            )
            next(iter(rows), None)
        except Exception as error:  # noqa: BLE001 - whatever its readers make of a card's YAML
            said = clean(error) or type(error).__name__
            problems.append(f"load_dataset does not take the config {config}: {said}")
    return problems
