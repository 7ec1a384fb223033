"""Releases: folders that can be published as they are."""

from magpie_hub.release.folder import Release, check_output, write_release

__all__ = ["Release", "check_output", "write_release"]
