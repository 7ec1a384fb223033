"""The last look at what a pattern takes for a credential: the value, or None if it is none.

A check is given the value and its match, and returns the value in one spelling.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from itertools import pairwise

from detect_secrets.plugins.jwt import JwtTokenDetector

from magpie_hub.scan.placeholders import is_reserved_host


def artifactory(value: str, _: re.Match[str]) -> str | None:
    """Keys have digits throughout; "AP" and "AKC" also begin words."""
    value = value.strip('=:" \t\r\n')
    return value if sum(map(str.isdigit, value)) >= 3 else None


def azure(value: str, _: re.Match[str]) -> str | None:
    """The key, without the setting's name."""
    return value.partition("=")[2]


def _is_mixed(value: str) -> bool:
    """Whether there are small letters, capitals and digits in a value."""
    return all(re.search(letters, value) for letters in ("[a-z]", "[A-Z]", "[0-9]"))


def drawn(value: str, _: re.Match[str]) -> str | None:
    """A value drawn at random; the plugins take any long word after "key" or "token"."""
    return value if _is_mixed(value) or re.fullmatch("[0-9a-f]{48,}", value) else None


_DUMMIES = re.compile(
    r"pass|pwd|secret|user|admin|token|test|guest|root|demo|qwerty|letmein|login|[<>{}]|^\W*$",
    re.IGNORECASE,
)


def basic_auth(value: str, match: re.Match[str]) -> str | None:
    """A password in a URL, unless it says that it is one, or the host is reserved."""
    window = match.string[match.end() : match.end() + 256]
    if match[0].startswith("jdbc:"):
        window = match[0].partition("//")[2] or window.lstrip("/")
    host = re.match(r"[A-Za-z0-9.-]*", window)
    if _is_dummy(value) or is_reserved_host(host[0] if host else ""):
        return None
    return value


def _is_dummy(password: str) -> bool:
    """Whether a password says that it is one, or is a variable's name."""
    return (
        len(password) < 6
        or _DUMMIES.search(password) is not None
        or set(password) <= set("*.xX-_•…")
        or password.startswith(("$", "%(", "os.environ", "process.env"))
    )


_HOST = re.compile(
    r"(?i:(?:server|data source|host|hostname|addr|address|endpoint)\s?=\s?(?:tcp:)?)"
    r"([A-Za-z0-9.-]+)"
)


def connection(value: str, match: re.Match[str]) -> str | None:
    """A password in a connection string, unless it is a dummy, or the server is reserved."""
    around = match.string[max(0, match.start() - 256) : match.end() + 256]
    host = _HOST.search(around)
    if _is_dummy(value) or (host is not None and is_reserved_host(host[1])):
        return None
    alone = match[0].lower().startswith(("password=", "pwd=")) and match[0].endswith(";")
    return value if not alone or _is_mixed(value) else None


def assigned(value: str, _: re.Match[str]) -> str | None:
    """A value drawn at random: capitals, small letters and digits that change places all the time.

    Of neighbours in a random value two of three are of different kinds; in names, words and paths
    one of five.
    """
    kinds = ["d" if char.isdigit() else "u" if char.isupper() else "l" for char in value]
    changes = sum(left != right for left, right in pairwise(kinds))
    drawn = set(kinds) == {"d", "u", "l"} and kinds.count("d") >= 2 and changes >= 0.4 * len(value)
    marks = sum(not char.isalnum() for char in value)
    if not drawn or marks > len(value) // 8 or _DUMMIES.search(value):
        return None
    return value


def discord(value: str, _: re.Match[str]) -> str | None:
    """A bot's token begins with its user id in Base64; dotted names of code have its form."""
    first = value.partition(".")[0]
    try:
        user = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4))
    except binascii.Error:
        return None
    return value if user.isdigit() else None


def jwt(value: str, _: re.Match[str]) -> str | None:
    """A signed token, unless it is issued to jwt.io's John Doe."""
    value = value.rstrip(".")
    try:
        if not JwtTokenDetector.is_formally_valid(value):
            return None
        payload = value.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except RecursionError:  # brackets within brackets: no issuer's claims
        return None
    made_up = isinstance(claims, dict) and claims.get("sub") == "1234567890"
    return None if made_up else value


def npm(value: str, _: re.Match[str]) -> str | None:
    """The library's pattern goes on to the end of the line, and takes any word after "npm_"."""
    token = re.match(r"npm_[A-Za-z0-9]{36,}|[A-Fa-f0-9-]{36}", value)
    return token[0] if token else None


def private_key(_: str, match: re.Match[str]) -> str | None:
    """A header with key material under it; a header alone, or dots under it, are a manual's.

    The shortest key (Ed25519) has 64 characters of Base64. The value is all of them: the first
    line of an OpenSSH key is the same in all keys.
    """
    material = "".join(re.findall(r"[A-Za-z0-9+/=]{32,}", match[1]))
    if len(material) < 64 or len(set(material)) < 20:
        return None
    return f"{match[0][: match.start(1) - match.start()]} {material}"


def telegram(value: str, _: re.Match[str]) -> str | None:
    """Tokens go on with an A after the colon; times with a hash after them do not."""
    return value if value.partition(":")[2].startswith("A") else None
