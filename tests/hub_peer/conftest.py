"""The peer's own tests take its fixtures from here."""

from tests.hub_peer.fixtures import hub_peer, transfer

__all__ = ["hub_peer", "transfer"]
