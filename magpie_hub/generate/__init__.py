"""Generation: from a row id to finished turns, many rows at once."""
