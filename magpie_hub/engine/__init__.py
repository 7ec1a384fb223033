"""Engines: token ids in, token ids out. See `magpie_hub.engine.base` for the contract."""
