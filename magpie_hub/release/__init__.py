"""Releases: folders that can be published as they are."""

from magpie_hub.release.folder import Release, write_release
from magpie_hub.release.output import MADE_BY, MANIFEST, check_output, default_output

__all__ = ["MADE_BY", "MANIFEST", "Release", "check_output", "default_output", "write_release"]
