"""Regeneration: a published dataset that grows by itself, tick by tick, or refuses to."""

from magpie_hub.regenerate.run import regenerate
from magpie_hub.regenerate.tick import Regenerated, Tick

__all__ = ["Regenerated", "Tick", "regenerate"]
