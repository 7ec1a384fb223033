"""The Hub: releases published in one commit or not at all, and verified."""
