"""Names that the Hub accepts: licences, languages, repositories; checked before a push."""

from __future__ import annotations

import difflib
import re

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

SPECIAL_LANGUAGES = frozenset({"code", "multilingual"})
"""What the Hub accepts beside codes of ISO 639."""


def check_license(said: str) -> str:
    """Refuses a misspelt licence of the Hub; any other name is the user's own licence.

    Raises:
        ValueError: The licence is misspelt; the message names the right identifier.
    """
    if said.strip().lower() in HUB_LICENSES:
        return said.strip()
    plain = {_plain(one): one for one in sorted(HUB_LICENSES)}
    near = difflib.get_close_matches(_plain(said), plain, n=1, cutoff=0.8)
    if near:
        raise ValueError(f"the Hub knows no licence {said!r}; did you mean {plain[near[0]]}?")
    if not _plain(said):
        raise ValueError("a licence has a name, such as apache-2.0")
    return said


def _plain(license: str) -> str:
    short = re.sub(r"licen[sc]e|version|\bthe\b|\bv(?=\d)|(?<=[a-z])v(?=\d)", "", license.lower())
    return re.sub(r"[^a-z0-9+]", "", short)


def check_language(code: str, *, special: bool = True) -> str:
    """Refuses a code that is no language of ISO 639.

    Args:
        code: Two letters (ISO 639-1) or three (639-2, 639-3), in lower case.
        special: Whether the Hub's names beside the codes are allowed.

    Raises:
        ValueError: It is none; the message names the right code if there is a close one.
    """
    if special and code in SPECIAL_LANGUAGES:
        return code
    # English needs no table of eight thousand languages.
    if code == "en":
        return code
    from pycountry import languages

    known = ("alpha_2", "alpha_3", "bibliographic")
    if any(languages.get(**{kind: code}) for kind in known if code.isascii() and code.islower()):
        return code
    meant = None
    for guess in (code, re.split(r"[-_ ]", code)[0]):
        try:
            found = languages.lookup(guess.strip())
        except LookupError:
            continue
        meant = getattr(found, "alpha_2", found.alpha_3)
        break
    hint = f"; did you mean {meant}?" if meant else ""
    raise ValueError(f"{code!r} is no language code (ISO 639, in lower case, such as en){hint}")


def check_repo_id(repo_id: str) -> str:
    """Refuses a name that cannot be a repository on the Hub.

    Raises:
        ValueError: The name is invalid; the message says why.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if repo_id.count("/") != 1:
        raise ValueError(f"a dataset's name is NAMESPACE/NAME, not {repo_id!r}")
    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        raise ValueError(
            f"{repo_id!r} is no name on the Hub: letters, digits, '-', '_' and '.' are, none of "
            "'-' and '.' first, last or twice, and at most 96 characters in all"
        ) from None
    return repo_id
