"""The ``magpie://`` file system: it is empty, and exists to be imported.

`datasets` has no plug-in hook; fsspec's entry points are the only code of an installed package
that ``load_dataset`` runs on its way to a local folder. Importing this module registers the
builder (`magpie_hub.builder.register`).
"""

from __future__ import annotations

from typing import Any

from fsspec import AbstractFileSystem

from magpie_hub.builder.register import register


class MagpieFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """A file system without files; every pattern on it matches nothing."""

    protocol = "magpie"
    cachable = False

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """There is nothing to list."""
        return []

    def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> Any:
        """Nothing matches."""
        return {} if kwargs.get("detail") else []

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """There is no such file."""
        raise FileNotFoundError(path)


register()
