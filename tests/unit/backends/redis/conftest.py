"""A real server for the tests of backends."""

from tests.valkey import pool, shared_valkey, valkey

__all__ = ["pool", "shared_valkey", "valkey"]
