"""A real server for apps that share."""

from tests.valkey import shared_valkey, valkey

__all__ = ["shared_valkey", "valkey"]
