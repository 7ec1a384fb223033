"""The Hugging Face Hub: pins a repository to a commit, and downloads the files that are needed.

A failure that the user can repair is an error of one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from magpie_hub.errors import ModelError, one_line

COMMIT = re.compile(r"[0-9a-f]{40}")

_TOKENIZER = ["*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "README.md"]
_WEIGHTS = ["*.safetensors"]
_CODE = ["*.py"]
# The same weights again, for other programs.
_NEVER = ["original/*", "metal/*", "onnx/*", "openvino/*", "coreml/*", "consolidated*"]


@dataclass(frozen=True, slots=True)
class Pinned:
    """A repository at a commit.

    Attributes:
        commit: 40 hex digits.
        folder: The cached snapshot; holds at least `config.json`.
        weight_bytes: Size of its safetensors files, if the Hub was asked.
        parameters: Number of its parameters, if the Hub knows.
        license: Its licence, if the Hub was asked.
    """

    commit: str
    folder: Path
    weight_bytes: int | None = None
    parameters: int | None = None
    license: str | None = None


def pin_repository(name: str, revision: str | None) -> Pinned:
    """Pins a repository to a commit.

    A commit that is cached needs no network. Where the Hub cannot be reached, the commit that the
    cache holds for the revision counts, else the newest cached one if no revision was asked for.

    Args:
        name: Repository id.
        revision: Branch, tag or commit; None for the default branch.

    Raises:
        ModelError: Not found, no access, or not reachable with nothing cached.
    """
    from huggingface_hub import HfApi, hf_hub_download

    with _spoken(name, revision):
        if revision and COMMIT.fullmatch(revision) and (cached := _cached(name, revision)):
            return Pinned(revision, cached)
        try:
            # First, for it fails at once where there is no network; a download tries for long.
            info = HfApi().model_info(name, revision=revision, files_metadata=True)
            # Anyone can ask the Hub about a gated repository; only its files are closed. And the
            # cache remembers which commit the revision meant, for the next time without network.
            folder = Path(hf_hub_download(name, "config.json", revision=revision)).parent
        except Exception as error:
            if _unreachable(error) and (cached := _cached(name, revision)):
                return Pinned(cached.name, cached)
            raise
    sizes = [
        sibling.size or 0
        for sibling in info.siblings or ()
        if "/" not in sibling.rfilename
        and sibling.rfilename.endswith(".safetensors")
        and not sibling.rfilename.startswith("consolidated")
    ]
    card = info.card_data or {}
    license = card.get("license_name") or card.get("license")
    return Pinned(
        commit=folder.name,
        folder=folder,
        weight_bytes=sum(sizes) or None,
        parameters=info.safetensors.total if info.safetensors else None,
        # Of several it is unknown which one counts.
        license=license if isinstance(license, str) else None,
    )


def download(name: str, commit: str, *, weights: bool, code: bool) -> Path:
    """Downloads a commit's files into the Hub's own cache.

    Args:
        name: Repository id.
        commit: 40 hex digits.
        weights: Whether to download the weights too, or config and tokenizer only.
        code: Whether to download the repository's Python files.

    Returns:
        The snapshot's folder.

    Raises:
        ModelError: No access, or not reachable and not all cached.
    """
    from huggingface_hub import snapshot_download

    allowed = _TOKENIZER + (_WEIGHTS if weights else []) + (_CODE if code else [])
    with _spoken(name, commit):
        return Path(
            snapshot_download(name, revision=commit, allow_patterns=allowed, ignore_patterns=_NEVER)
        )


def _cached(name: str, revision: str | None) -> Path | None:
    """Returns the cached snapshot's folder for a revision, if its config is there."""
    from huggingface_hub import constants, try_to_load_from_cache

    config = try_to_load_from_cache(name, "config.json", revision=revision)
    if isinstance(config, str):
        return Path(config).parent
    if revision:
        return None
    repository = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    configs = sorted(
        repository.glob("snapshots/*/config.json"), key=lambda path: path.parent.stat().st_mtime
    )
    return configs[-1].parent if configs else None


def _unreachable(error: BaseException) -> bool:
    """Whether an error says that the Hub did not answer, rather than what it answered."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, HfHubHTTPError):
        return error.response is not None and error.response.status_code >= 500
    if isinstance(error, (LocalEntryNotFoundError, ConnectionError, TimeoutError)):
        return True
    # The client speaks through httpx, or its successor; both name their failures alike.
    return any(base.__name__ == "TransportError" for base in type(error).__mro__)


@contextmanager
def _spoken(name: str, revision: str | None) -> Iterator[None]:
    """Turns the Hub client's errors into one line for the user."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/{name}"
    try:
        yield
    except GatedRepoError:
        raise ModelError(
            f"{name} is gated: accept its licence at {page}, then log in with `hf auth login`."
        ) from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"{name} is not on {constants.ENDPOINT}; check the spelling, or log in with "
            f"`hf auth login` if it is private."
        ) from None
    except RevisionNotFoundError:
        raise ModelError(
            f"{name} has no revision {revision!r}; see {page}/commits for those it has."
        ) from None
    except HFValidationError:
        raise ModelError(
            f"{name!r} is neither a folder here nor a Hub id (owner/name); check the spelling."
        ) from None
    except Exception as error:
        if _unreachable(error):
            held = "only in part" if _cached(name, revision) else "not"
            raise ModelError(
                f"{name} is {held} cached here and {constants.ENDPOINT} cannot be reached "
                f"({type(error).__name__}); connect, or name a local folder."
            ) from None
        if isinstance(error, EntryNotFoundError):
            raise ModelError(
                f"{name} has no config.json, so it is not a transformers model; see {page} for "
                f"what it holds."
            ) from None
        if isinstance(error, HfHubHTTPError):
            raise ModelError(f"{name}: {constants.ENDPOINT} refused ({one_line(error)}).") from None
        raise
