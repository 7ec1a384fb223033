"""Scans: credentials and personal data that must not be published."""

from magpie_hub.scan.allow import Allowed, read_allowed
from magpie_hub.scan.finding import Finding, Report
from magpie_hub.scan.folder import scan_release
from magpie_hub.scan.records import Records
from magpie_hub.scan.text import kinds, scan_text

__all__ = [
    "Allowed",
    "Finding",
    "Records",
    "Report",
    "kinds",
    "read_allowed",
    "scan_release",
    "scan_text",
]
