"""Every error that the package raises on purpose, by its cause.

* A mistake of the **user** is a `UserError`: one line that names the thing and what to do. The
  command exits 2; the Python API and the `datasets` builder raise it with the same text.
* A failure of the **environment** (a server that stays down, a yield below the recipe's floor) is a
  `RunError`: one line, exit 1, and every finished row is kept.
* A bad **row** is not an error: it is data, a reject with a reason.
* A bug of **ours** is a traceback.

No message shows a credential, whatever address or answer it repeats (`magpie_hub.text`). None of
these derives from `OSError`: `datasets` rewrites those while it prepares a split.
"""

from __future__ import annotations

from magpie_hub.text import redact


class MagpieError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 1

    def __init__(self, text: str = "") -> None:
        super().__init__(redact(text))


class UserError(MagpieError):
    """The caller's mistake; the message says what, where, and what to do instead."""

    exit_code = 2


class RecipeError(UserError):
    """A recipe that is refused: unknown key, wrong type, numbers that do not add up."""


class ChatFormatError(UserError):
    """A chat template from which no pre-query template can be derived."""


class ModelError(UserError):
    """A model that is missing, gated, or in need of something that the recipe does not grant."""


class DeviceError(UserError):
    """The device cannot hold the model."""


class OutputError(UserError):
    """An output place that cannot be used: it holds something else, or cannot be written."""


class RunError(MagpieError):
    """A run that had to stop; what is finished stays in the journal."""


class EngineError(RunError):
    """The engine failed or answered something that it must not."""


class OutOfMemory(EngineError):
    """The device's memory ran out; the same work on fewer slots may fit.

    Attributes:
        in_weights: Whether the weights alone were too much, so that slots do not matter.
    """

    def __init__(self, text: str, *, in_weights: bool = False) -> None:
        super().__init__(text)
        self.in_weights = in_weights


class JournalError(RunError):
    """The journal cannot be read or written."""


class HubError(RunError):
    """The Hub failed or could not be reached; the message says what it holds now."""


class StaleReleaseError(RunError):
    """What a release was made to be published on is not what is published any more."""


class DriftError(RunError):
    """New rows differ from the published ones by more than the recipe allows.

    Attributes:
        report: The figures side by side, in Markdown.
    """

    exit_code = 3

    def __init__(self, text: str, report: str = "") -> None:
        super().__init__(text)
        self.report = report


class YieldError(RunError):
    """Too few rows pass the gates for the run to end in reasonable time."""


def one_line(text: object, most: int = 300) -> str:
    """A foreign text as a part of a message: one line that a terminal can show.

    White space is joined, credentials are removed, and what cannot be printed is escaped.

    Args:
        text: The text, or an error; for an error without a message, its type.
        most: Most characters of the line; a longer one ends in "…".
    """
    words = " ".join(redact(str(text)[: 32 * most]).split())
    if not words and isinstance(text, BaseException):
        words = type(text).__name__
    line = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode()
        for one in words[: most + 1]
    )
    return line if len(line) <= most else line[: most - 1] + "…"
