"""The command: `magpie-hub`."""
