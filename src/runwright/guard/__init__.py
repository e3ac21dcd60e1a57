"""One call, many wrappers. Knows only core; the order of the layers stands in `chain.py`."""

from runwright.guard.chain import Call, Layer, compose, default_layers

__all__ = ["Call", "Layer", "compose", "default_layers"]
