"""Releases: folders that can be published as they are."""

from magpie_hub.release.folder import MADE_BY, MANIFEST, Release, check_output, write_release

__all__ = ["MADE_BY", "MANIFEST", "Release", "check_output", "write_release"]
