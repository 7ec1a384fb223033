"""Drift: whether new rows are like the published ones, before they are added to them."""
