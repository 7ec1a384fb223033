"""Paths of the machine that built a release, which are not to be published.

In the files that we write ourselves (card, manifest, recipe, statistics) every absolute path is a
finding. Rows are full of paths that a model made up, so there only the user's own folders are
looked for.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from magpie_hub.paths import home
from magpie_hub.scan.finding import Hit, Rule

KIND = "local-path"

_ROOTS = (
    "home|Users|root|tmp|var|mnt|media|srv|opt|data|workspaces?|scratch|private|Volumes|gpfs|lustre"
    "|nfs|efs|content|kaggle"
)
_PART = r"[A-Za-z0-9_.@+~%-]+"
_PATH = re.compile(
    rf"(?<![A-Za-z0-9_.:/~<>@}}\])*-])(?:/(?:{_ROOTS})(?:/{_PART})+|/{_PART}(?:/{_PART}){{2,}})"
    rf"|(?<![A-Za-z0-9])[A-Za-z]:(?:\\{{1,2}}|/)(?!/)[^\s\"'<>|:*?\\/]+(?:[\\/]{{1,2}}[^\s\"'<>|:*?\\/]+)+"
    rf"|(?<![A-Za-z0-9\\])\\{{2,4}}[A-Za-z0-9_.-]+\\{{1,2}}[A-Za-z0-9_.$-]+"
    rf"|(?<![A-Za-z0-9])file:/{{1,3}}{_PART}(?:/{_PART})*"
    rf"|(?<![A-Za-z0-9_./~])~[A-Za-z0-9_-]*(?:/{_PART})+"
)
_GENERIC = re.compile(
    r"(?:/(?:home|Users)|~|[A-Za-z]:[\\/]{1,2}Users)[\\/]{1,2}(?:your[._-]?\w*|user(?:name)?[0-9]?|me|you|"
    r"name|someone|xxx+|\.\.\.)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_ANCHOR = r"/[A-Za-z0-9_.@+~%-]+/|[A-Za-z]:[\\/]|\\\\[A-Za-z0-9]|file:/|~[A-Za-z0-9_-]*/"
_COMMON = frozenset(
    "root user users ubuntu admin debian centos ec2-user runner vscode jovyan codespace node app "
    "home guest test dev work workspace pi vagrant docker".split()
)
"""Names of home folders that do not identify a user."""


def _all_paths(text: str) -> Iterator[Hit]:
    for match in _PATH.finditer(text):
        if not _GENERIC.match(match[0]):
            value = match[0].rstrip(".,")
            yield Hit(match.start(), match.start() + len(value), value)


ANY = Rule(KIND, _ANCHOR, _all_paths, personal=True)
"""Any absolute path, for files of ours."""


@cache
def own_places() -> tuple[str, ...]:
    """Folders that identify the user: the home folder and MAGPIE_HOME, unless they are generic."""
    found = [home()]
    with contextlib.suppress(RuntimeError):  # the system knows no user of this id
        found.append(Path.home())
    return tuple(
        sorted(
            {str(place) for place in found if len(place.parts) > 2 and place.name not in _COMMON}
        )
    )


def own_rules() -> tuple[Rule, ...]:
    """The rule for rows; none if no folder identifies the user."""
    places = own_places()
    if not places:
        return ()
    pattern = "|".join(rf"{re.escape(place)}(?![A-Za-z0-9_-])" for place in places)
    anchor = "|".join(re.escape(place) for place in places)
    regex = re.compile(pattern)

    def search(text: str) -> Iterator[Hit]:
        for match in regex.finditer(text):
            yield Hit(match.start(), match.end(), match[0])

    return (Rule(KIND, anchor, search, personal=True),)
