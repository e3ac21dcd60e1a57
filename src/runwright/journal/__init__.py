"""The story of a run: written once, read by everyone."""
