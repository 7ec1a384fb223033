"""Judges label rows: one file each; `base.py` is the contract."""
