"""A judge's model by its name: pinned once, fetched when the judge begins to work."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from magpie_hub.models.source import ModelSource, fetch, fetch_tokenizer, pin
from magpie_hub.paths import home as default_home


@dataclass(frozen=True)
class ModelFiles:
    """Where a judge's model comes from.

    Attributes:
        name: A Hub id, a folder, or what an installed package carries.
        revision: Branch, tag or commit; None for the newest.
        home: The folder of packaged models; None for the person's own.
        trust_remote_code: Whether the model may run its repository's own code.
    """

    name: str
    revision: str | None = None
    home: Path | None = None
    trust_remote_code: bool = False

    @cached_property
    def pinned(self) -> ModelSource:
        """The model at a pinned revision.

        Raises:
            ModelError: Not found, gated, not reachable, or not a model.
        """
        return pin(self.name, self.revision)

    @property
    def said(self) -> dict[str, str]:
        """Model and revision, for a judge's settings; a revision that is given asks nobody.

        Raises:
            ModelError: None is given, and none can be found.
        """
        return {"model": self.name, "revision": self.revision or self.pinned.revision}

    def described(self) -> ModelSource:
        """The model with its configuration and tokenizer here, yet no weights.

        Raises:
            ModelError: As `pinned`; or it needs remote code that is not granted.
        """
        return fetch_tokenizer(self.pinned, self._home, trust_remote_code=self.trust_remote_code)

    def whole(self) -> ModelSource:
        """The model with its weights.

        Raises:
            ModelError: As `described`; or it is incomplete.
        """
        return fetch(self.pinned, self._home, trust_remote_code=self.trust_remote_code)

    @property
    def _home(self) -> Path:
        return self.home or default_home()
