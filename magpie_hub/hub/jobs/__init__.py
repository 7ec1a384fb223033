"""Scheduled regeneration on Hugging Face Jobs."""
