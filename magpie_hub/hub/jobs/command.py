"""The command of a scheduled job, and the image that it runs in.

    python3 -m pip install REQUIREMENT; magpie-hub regenerate --variant air … --push

The user's own recipe is in the job's environment, since a job sees no other machine's files. All
steps are one shell command, and every word that the user has named is quoted. The report goes to
the job's log, since the container ends with the job; the job's exit status is the tick's.

Everybody who sees the namespace's jobs can read a job's command, so nothing that looks like a
password or a token is let into it.
"""

from __future__ import annotations

import base64
import re
import shlex
from importlib.metadata import version
from pathlib import Path

from magpie_hub.errors import UserError
from magpie_hub.scan.text import kinds, scan_text

IMAGE = "vllm/vllm-openai:v0.30.0-cu129"
"""vLLM's own image: the engine is in it, with its CUDA and torch, and pip finds them there. Pinned,
so that two ticks of one schedule are made by one vLLM. This build is for CUDA 12.9, whose needs
every driver since CUDA 12 meets; the plain tag asks for CUDA 13's."""

REPORT = "/tmp/report.md"

RECIPE = "/tmp/recipe.magpie.yaml"
"""Where the user's own recipe is in the container."""

RECIPE_VARIABLE = "RECIPE_BASE64"
"""Variable of the job's environment that holds it; a name with MAGPIE_ would be a setting."""

_LARGEST = 64 * 1024
"""Bytes of the largest recipe that a job's environment is given."""

# The image has no git, which pip wants for such a requirement.
_GIT = "command -v git >/dev/null || { apt-get -qq update && apt-get -qq -y install git; }"

_USER = re.compile(r"://([^/?#\s]*)@")
_OF_THIS_MACHINE = re.compile(r"file:|memory:|[./~\\]|[A-Za-z]:\\")


def default_requirement() -> str:
    """What pip installs by default: this version of the package."""
    return f"magpie-hub[vllm,judges]=={version('magpie-hub')}"


def packed_recipe(path: Path) -> str:
    """A recipe file as the job's environment holds it.

    Raises:
        UserError: It holds a secret, or is too large.
    """
    content = path.read_bytes()
    if len(content) > _LARGEST:
        raise UserError(f"{path}: a job takes a recipe of at most {_LARGEST:,} bytes")
    _refuse_secrets(str(path), content.decode("utf-8", "replace"))
    return base64.b64encode(content).decode()


def job_command(
    name: str,
    repo_id: str,
    *,
    requirement: str,
    grow: int | None = None,
    state: str | None = None,
    own: bool = False,
) -> list[str]:
    """The command of a job that regenerates a variant.

    Args:
        name: The variant.
        repo_id: Where it is published.
        requirement: What pip installs: a requirement, a wheel's URL, or a URL that begins with
            ``git+``.
        grow: Rows that a tick adds; None for the recipe's.
        state: URL where unfinished work is kept; None for the recipe's.
        own: Whether the recipe is the user's own, and comes with the job's environment.

    Raises:
        UserError: Something names a place on this machine, which a job does not see, or holds a
            secret.
    """
    _check("--requirement", requirement, "a wheel's URL, or one that begins with git+")
    if state is not None:
        _check("--state", state, "a URL such as hf://buckets/NAMESPACE/NAME")
        if "://" not in state:
            raise UserError(
                f"--state {state}: a job's folders end with the job; name a URL such as "
                "hf://buckets/NAMESPACE/NAME"
            )
    # The container is the job's own, so its Python may be added to.
    pip = ["python3", "-m", "pip", "install", "--quiet", "--break-system-packages"]
    variant = RECIPE if own else name
    tick = ["magpie-hub", "regenerate", "--variant", variant, "--repo-id", repo_id, "--push"]
    tick += [] if grow is None else ["--grow", str(grow)]
    tick += [] if state is None else ["--state", state]
    steps = (
        "set -e",
        *([_GIT] if "git+" in requirement else []),
        shlex.join([*pip, "--", requirement]),
        *([f'printf %s "${RECIPE_VARIABLE}" | base64 -d > {RECIPE}'] if own else []),
        f"status=0; {shlex.join([*tick, '--report', REPORT])} || status=$?",
        f"cat {REPORT} || true",
        "exit $status",
    )
    return ["bash", "-c", "; ".join(steps)]


def _refuse_secrets(what: str, text: str) -> None:
    # A user's name alone, as in git@, is no secret.
    secret = any(not kinds()[kind] for kind, _ in scan_text(text))
    if secret or any(user != "git" for user in _USER.findall(text)):
        raise UserError(
            f"{what}: it holds a user's name, password or token, and a job's command and "
            "environment can be read by everybody who sees the namespace's jobs; leave it out"
        )


def _check(option: str, text: str, instead: str) -> None:
    _refuse_secrets(option, text)
    if not text.strip() or _OF_THIS_MACHINE.match(text):
        raise UserError(f"{option} {text}: a job does not see this machine's files; name {instead}")
