"""The dataset card: everything that becomes Markdown."""
