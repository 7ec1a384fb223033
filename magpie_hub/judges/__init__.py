"""Judges: what labels the rows. One file each; `base.py` is the contract."""
