"""Regeneration: a published dataset that grows by itself, tick by tick, or refuses to."""
