"""Judges: what labels the rows. One file each; the list of them is in `magpie_hub/judges/stage.py`."""
