"""Licences: which names the Hub knows, and what a generator's licence asks of its words.

A dataset's words are the generator's, so its licence says what may be done with them. This is no
legal advice; it names what is easily overlooked, and where it is written.
"""

from __future__ import annotations

from typing import NamedTuple

from magpie_hub.recipe.names import HUB_LICENSES

_OWN_MODELS = (
    "Section 1.b.v of it forbids using the model's output to improve any other large language "
    "model than {name} and its derivatives."
)
_NAMED = (
    "Section 1.b.i of it asks that a published model trained on the model's output bear a name "
    "that begins with “Llama”, and that “Built with Llama” be shown."
)
_CAVEATS = {
    "llama2": _OWN_MODELS.format(name="Llama 2"),
    "llama3": _OWN_MODELS.format(name="Llama 3"),
    **dict.fromkeys(("llama3.1", "llama3.2", "llama3.3", "llama4"), _NAMED),
}


class License(NamedTuple):
    """A dataset's licence as its card says it.

    Attributes:
        id: One of `HUB_LICENSES`.
        name: What it is called, where the Hub has no identifier for it.
        caveat: A sentence on what it asks of those who train on the words; "" if none is known.
    """

    id: str
    name: str | None
    caveat: str


def find_license(said: str | None) -> License:
    """The licence that a recipe or a generator's card names.

    Args:
        said: An identifier of the Hub, in either case, or any other name; None if unknown.
    """
    known = (said or "").strip().lower()
    if known in HUB_LICENSES:
        return License(known, None, _CAVEATS.get(known, ""))
    return License("other", said.strip() or None if said else None, "")
