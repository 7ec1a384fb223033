"""The Hub: releases published in one commit or not at all, and looked at again."""

from magpie_hub.hub.publish import publish
from magpie_hub.hub.push import Published, Push
from magpie_hub.hub.verify import Verified, verify

__all__ = ["Published", "Push", "Verified", "publish", "verify"]
