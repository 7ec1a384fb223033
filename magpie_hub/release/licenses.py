"""Licences: which names the Hub knows, and what a generator's licence asks of its words.

A dataset's words are the generator's, so its licence says what may be done with them. This is no
legal advice; it names what is easily overlooked, and where it is written.
"""

from __future__ import annotations

from typing import NamedTuple

HUB_LICENSES = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
    bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause
    bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
    cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0
    epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl
    gpl gpl-2.0 gpl-3.0 grok2-community h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0
    lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa
    odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 other pddl postgresql unknown
    unlicense wtfpl zlib
    """.split()
)
"""Identifiers that the Hub accepts (docs/hub/repositories-licenses); others are named "other"."""

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
        said: An identifier of the Hub, in either case, or any other name; None if nobody says.
    """
    known = (said or "").strip().lower()
    if known in HUB_LICENSES:
        return License(known, None, _CAVEATS.get(known, ""))
    return License("other", said.strip() or None if said else None, "")
