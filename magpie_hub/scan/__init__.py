"""Scans: credentials and personal data that must not be published."""
