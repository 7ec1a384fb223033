"""Merges a new card with one that was edited on the Hub: the edits stay.

What we render stands between two markers, each alone on its line. Of the card that is there, the
text before and after them stays; of its front matter stay the keys that we do not write, and what
was added to our lists. Everything between the markers is ours and comes new; text that belongs
there goes into the recipe (`card.blocks`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from magpie_hub.errors import UserError
from magpie_hub.release.card.front_matter import Page, read_page, write_front

BEGIN = "<!-- magpie:begin -->"
END = "<!-- magpie:end -->"

JOINED = (
    "language",
    "task_categories",
    "annotations_creators",
    "language_creators",
    "source_datasets",
    "tags",
)
"""Lists to which an editor may add; of the others (`size_categories`) ours is right."""

_BY_CONFIG = ("configs", "dataset_info")
_LICENSE = ("license_name", "license_link")


class _Body(NamedTuple):
    """A card's text: before the markers, between them with the markers, and after them."""

    before: str
    ours: str
    after: str


def keep_edits(ours: str, theirs: str) -> str:
    """Joins a new card with the one that is there.

    Doing it twice is doing it once, and an unedited card becomes the new one.

    Args:
        ours: As `magpie_hub.release.card.render.render_card` returns it.
        theirs: The card that is published. One without markers was not made by us: its whole text
            is kept, after ours.

    Raises:
        UserError: Their front matter cannot be read, or one of the two markers is gone.
    """
    new = read_page(ours)
    block = _cut(new.body)
    if block is None:
        raise ValueError("the new card lacks its markers")
    try:
        old = read_page(theirs)
        front = write_front(_join(new.front, old.front))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"the front matter of the published card cannot be read ({error}); repair it on the "
            "Hub, and publish again"
        ) from None
    return front + "".join(_keep(block, old))


def _keep(new: _Body, theirs: Page) -> _Body:
    old = _cut(theirs.body)
    if old is not None:
        return _Body(old.before, new.ours, old.after)
    rest = theirs.body.strip("\n")
    return _Body(new.before, new.ours, f"\n{rest}\n" if rest.strip() else new.after)


def _cut(body: str) -> _Body | None:
    """Cuts a text at its markers; None if it has neither."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", body)
    marks = [line.rstrip() for line in lines]
    if BEGIN not in marks and END not in marks:
        return None
    try:
        first = marks.index(BEGIN)
        last = marks.index(END, first)
    except ValueError:
        raise UserError(
            f"the published card lacks one of the two lines between which magpie-hub writes, "
            f"{BEGIN} and {END} below it; put it back on the Hub, or remove both to have the whole "
            "text kept below the new card"
        ) from None
    between = "".join(lines[first:last]) + END + "\n"
    return _Body("".join(lines[:first]), between, "".join(lines[last + 1 :]))


def _join(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    joined = dict(ours)
    for key in JOINED:
        if key in ours and key in theirs:
            joined[key] = _once((*ours[key], *_listed(theirs[key])))
    for key in _BY_CONFIG:
        if key in ours:
            known = {_config(one) for one in ours[key]}
            more = [one for one in _listed(theirs.get(key)) if _config(one) not in known]
            joined[key] = [*ours[key], *map(_not_default, more)]
    further = {key: value for key, value in theirs.items() if key not in ours}
    if ours.get("license") != "other" or theirs.get("license") != "other":
        # They belong to a licence that is no longer there.
        for key in _LICENSE:
            further.pop(key, None)
    return joined | further


def _once(values: Iterable[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if value not in kept:  # Theirs may be anything, unhashable too.
            kept.append(value)
    return kept


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _config(entry: Any) -> str | None:
    """The config that an entry describes; None for an entry that describes none."""
    return str(entry.get("config_name", "default")) if isinstance(entry, Mapping) else None


def _not_default(entry: Any) -> Any:
    """An entry of theirs without the claim to be the default, which is ours."""
    if not isinstance(entry, Mapping) or "default" not in entry:
        return entry
    return {key: value for key, value in entry.items() if key != "default"}
