"""Frozen data and ports. No I/O, no framework."""
