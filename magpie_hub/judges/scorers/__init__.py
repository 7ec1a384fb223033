"""Models that score a text: a second kind of engine."""
