"""Sending: the large files of a commit, before it is made; never silent and never without an end.

Xet's client asks the Hub for a token by itself, and a Hub that does not give one it asks again for
minutes without a word. So the token is asked for here first, where an error is seen at once, and
its own attempts are fewer: whoever publishes has patience of their own, and says so.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from magpie_hub.hub.client import DATASET, asking

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

WORD = 30.0
"""Seconds between two words of a transfer that goes on."""

_LARGE = (".parquet", ".png")
"""How the names of files end that the Hub stores as large ones; the others go with the commit."""

_ATTEMPTS = "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS"


def send(
    api: HfApi,
    repo_id: str,
    files: Sequence[CommitOperationAdd],
    say: Callable[[str], None],
    *,
    pull_request: bool = False,
) -> None:
    """Sends what is to be stored as large files.

    Args:
        api: The Hub's client.
        repo_id: Where they go.
        files: All files of the commit.
        say: Told now and then that it goes on; from a thread.
        pull_request: Whether the commit is to be a pull request.

    Raises:
        UserError, HubError, Busy: See `asking`.
    """
    os.environ.setdefault(_ATTEMPTS, "3")  # Read when the client's first transfer begins.
    with asking(repo_id, "sending files to"):
        if any(file.path_in_repo.endswith(_LARGE) for file in files):
            _ask_for_token(api, repo_id, pull_request)
        with _words(repo_id, say):
            api.preupload_lfs_files(
                repo_id, files, repo_type=DATASET, create_pr=pull_request, free_memory=False
            )


def _ask_for_token(api: HfApi, repo_id: str, pull_request: bool) -> None:
    """Asks for a token as Xet's client will; what comes of it is thrown away."""
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


@contextmanager
def _words(repo_id: str, say: Callable[[str], None]) -> Iterator[None]:
    """Says every now and then that a transfer goes on."""
    over, begun = threading.Event(), time.monotonic()

    def main() -> None:
        while not over.wait(WORD):
            say(f"still sending files to {repo_id}, for {time.monotonic() - begun:.0f} s now")

    thread = threading.Thread(target=main, name="magpie-sending", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
