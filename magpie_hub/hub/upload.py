"""Uploading: the large files of a commit, before the commit is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from magpie_hub.hub.client import DATASET, Say, ask
from magpie_hub.hub.tree import LocalFile

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

_LARGE = (".parquet", ".png")
"""How the names of files end that the Hub stores as large ones; the others go with the commit."""


def additions(files: Iterable[LocalFile]) -> list[CommitOperationAdd]:
    """Files for the client, which need not hash them again; those without a source are left out."""
    from huggingface_hub import CommitOperationAdd

    found = []
    for file in files:
        if file.source is not None:
            found.append(CommitOperationAdd(file.path, file.source))
            found[-1].upload_info.sha256 = bytes.fromhex(file.sha256)
    return found


def upload(
    api: HfApi,
    repo_id: str,
    files: Sequence[CommitOperationAdd],
    say: Say,
    *,
    pull_request: bool = False,
) -> None:
    """Sends the files that are stored as large ones.

    Args:
        api: The Hub's client.
        repo_id: Where they go.
        files: All files of the commit.
        say: Told now and then that it goes on.
        pull_request: Whether the commit is to be a pull request.

    Raises:
        UserError, HubError, Busy: See `ask`.
    """
    if any(file.path_in_repo.endswith(_LARGE) for file in files):
        ask(repo_id, "sending files to", lambda: _ask_for_token(api, repo_id, pull_request))

    def send() -> None:
        api.preupload_lfs_files(
            repo_id, files, repo_type=DATASET, create_pr=pull_request, free_memory=False
        )

    size = sum(file.upload_info.size for file in files)
    ask(repo_id, "sending files to", send, size=size, say=say)


def _ask_for_token(api: HfApi, repo_id: str, pull_request: bool) -> None:
    """Asks for a token as Xet's client will, and throws it away.

    Xet's client asks for it silently, and for minutes if the Hub gives none; here the error is seen
    at once.
    """
    from huggingface_hub.utils import get_session, hf_raise_for_status
    from huggingface_hub.utils._runtime import is_xet_available
    from huggingface_hub.utils._xet import XetTokenType, xet_connection_info_refresh_url

    if not is_xet_available():
        return
    url = xet_connection_info_refresh_url(
        token_type=XetTokenType.WRITE,
        repo_id=repo_id,
        repo_type=DATASET,
        revision="main",
        endpoint=api.endpoint,
    )
    answer = get_session().get(
        url + ("?create_pr=1" if pull_request else ""), headers=api._build_hf_headers()
    )
    hf_raise_for_status(answer)
    said = answer.json()
    if not all(said[key] for key in ("casUrl", "exp", "accessToken")):
        raise LookupError("no token in it")
