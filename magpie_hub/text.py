"""Text that is printed: addresses without credentials, and commands that work as they stand.

A server's address may hold a password (``http://me:password@host``) or a key (``?api_key=…``).
Every message of ours (`magpie_hub.errors`), every description of an engine and every line of a log
is redacted here; an address is never printed as it was given.
"""

from __future__ import annotations

import logging
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

_LOGIN = re.compile(r"(?<=://)[^\s/?#\"'<>]*@")
_QUERY = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s?#\"'<>]*)\?[^\s\"'<>,;)\]]*")
_TOKEN = re.compile(
    r"\b(?:hf|api_org)_[A-Za-z0-9_]{16,}|\bsk-[A-Za-z0-9_-]{16,}|\bBearer +[A-Za-z0-9._~+/=-]{8,}"
)


def redact(text: str) -> str:
    """A text without the logins and queries of the addresses in it, and without tokens.

    Example:
        >>> redact("GET http://me:secret@host/v1?api_key=k failed")
        'GET http://***@host/v1?*** failed'
    """
    if "://" in text:
        text = _QUERY.sub(r"\1?***", _LOGIN.sub("***@", text))
    return _TOKEN.sub("***", text)


def address(url: str) -> str:
    """An address without login, query and fragment; what is no address is not shown at all."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return "***"
    if not parts.scheme or not parts.netloc:
        return "***"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/")


def is_http(url: str) -> bool:
    """Whether a text is an http or https address, with a host and a port that there is."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port or a host that is none
        return False
    return bool(usable) and not any(char.isspace() for char in url)


class RedactingFormatter(logging.Formatter):
    """Formats a record for a log, its traceback too, and redacts it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line or lines."""
        return redact(super().format(record))


def command(verb: str, *words: str | Path) -> str:
    """A command of ours as it is typed into a shell.

    Args:
        verb: Of `magpie-hub`.
        words: What follows it; a path that begins with a dash is kept from being an option.

    Example:
        >>> command("scan", Path("my set"))
        "magpie-hub scan 'my set'"
    """
    said = [
        f"./{word}" if isinstance(word, Path) and str(word)[0] == "-" else word for word in words
    ]
    return shlex.join(["magpie-hub", verb, *map(str, said)])
