"""The card's plots: `draw` lists them, `style` says how they look, a file holds each kind."""
