"""Engines: token ids in, token ids out. See `magpie_hub.engines.base` for the contract."""
